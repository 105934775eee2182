// SPDX-License-Identifier: Apache-2.0
#include "control/session/options.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <type_traits>

#include "control/session/geometry.h"

namespace xylem::session {

Options Options::defaults(const Settings& settings) {
    return {.slow_leaf_ms = settings.slow_leaf_ms,
            .join_timeout_ms = settings.join_timeout_ms,
            .log_cells_log2 = cells_log2_for(settings.log_cells),
            .may_share_address = false,
            .kept = {}};
}

template <class T>
static Result<T> value_of(const abi::OptionBody& body) {
    T value;
    if (body.bytes != sizeof value) return Error{EINVAL, "the option's value has another size"};
    std::memcpy(&value, body.value, sizeof value);
    return value;
}

static Result<void> set_milliseconds(uint32_t& held, const abi::OptionBody& body) {
    Result<uint32_t> value = value_of<uint32_t>(body);
    if (!value) return value.error();
    if (*value == 0 || *value > 3'600'000) return Error{EINVAL, "the option takes 1 to 3600000 milliseconds"};
    held = *value;
    return {};
}

static Result<void> set_log_bytes(Options& options, const abi::OptionBody& body, uint32_t cell_bytes, bool is_log_fixed,
                                  const Settings& settings) {
    Result<uint64_t> bytes = value_of<uint64_t>(body);
    if (!bytes) return bytes.error();
    if (is_log_fixed) return Error{EINVAL, "the log's size is fixed by the first join or send"};
    const uint64_t cells = (*bytes + cell_bytes - 1) / cell_bytes;
    if (*bytes == 0 || *bytes > settings.max_log_bytes || cells > 1ULL << abi::kMaxCellsLog2)
        return Error{EINVAL, "the log's size is outside its limits"};
    const uint32_t log2 = cells_log2_for(cells);
    if ((static_cast<uint64_t>(cell_bytes) << log2) > settings.max_log_bytes)
        return Error{EINVAL, "the log's size is outside its limits"};
    options.log_cells_log2 = log2;
    return {};
}

static Result<void> set_socket_option(Options& options, const abi::OptionBody& body) {
    switch (body.name) {
        case SO_REUSEADDR: {
            Result<int> value = value_of<int>(body);
            if (!value) return value.error();
            options.may_share_address = *value != 0;
            return {};
        }
        case SO_LINGER:
        case SO_RCVTIMEO:
        case SO_SNDTIMEO:
            options.kept[body.name].assign(body.value, body.value + body.bytes);
            return {};
        default:
            return Error{ENOPROTOOPT, "no such socket option"};
    }
}

Result<void> set_option(Options& options, const abi::OptionBody& body, uint32_t cell_bytes, bool is_log_fixed,
                        const Settings& settings) {
    if (body.bytes > sizeof body.value) return Error{EINVAL, "the option's value is too long"};
    if (body.level == SOL_SOCKET) return set_socket_option(options, body);
    if (body.level != XY_SOL) return Error{ENOPROTOOPT, "no such option level"};
    switch (body.name) {
        case XY_OPT_SLOW_LEAF_MS:
            return set_milliseconds(options.slow_leaf_ms, body);
        case XY_OPT_JOIN_TIMEOUT_MS:
            return set_milliseconds(options.join_timeout_ms, body);
        case XY_OPT_LOG_BYTES:
            return set_log_bytes(options, body, cell_bytes, is_log_fixed, settings);
        case XY_OPT_RELIABILITY:
        case XY_OPT_MAX_MSG_SIZE:
        case XY_OPT_DIRECTION:
        case XY_OPT_CAPABILITIES:
            return Error{EINVAL, "the option can only be read"};
        default:
            return Error{ENOPROTOOPT, "no such option"};
    }
}

static xy_flowspec default_spec() {
    return {.token_rate = XY_UNSPECIFIED_64,
            .token_bucket_size = XY_UNSPECIFIED_64,
            .peak_bandwidth = XY_UNSPECIFIED_64,
            .latency = XY_UNSPECIFIED_32,
            .delay_variation = XY_UNSPECIFIED_32,
            .service_type = XY_SERVICE_NO_CHANGE,
            .max_sdu_size = XY_UNSPECIFIED_32,
            .minimum_policed_size = XY_UNSPECIFIED_32,
            .reserved = 0};
}

abi::Qos default_qos() {
    return {.is_present = 1, .reserved_zero = 0, .sending = default_spec(), .receiving = default_spec()};
}

static Result<void> check_spec(const xy_flowspec& spec, bool is_sending) {
    switch (spec.service_type) {
        case XY_SERVICE_NO_CHANGE:
        case XY_SERVICE_NOTRAFFIC:
            return {};
        case XY_SERVICE_BEST_EFFORT:
        case XY_SERVICE_CONTROLLED_LOAD:
        case XY_SERVICE_GUARANTEED:
        case XY_SERVICE_NETWORK_CONTROL:
            break;
        default:
            return Error{EINVAL, "no such service type"};
    }
    if (spec.token_rate == 0) return Error{EINVAL, "a token rate of 0 is invalid"};
    const bool needs_rate =
        spec.service_type == XY_SERVICE_GUARANTEED || (is_sending && spec.service_type == XY_SERVICE_CONTROLLED_LOAD);
    if (needs_rate && spec.token_rate == XY_UNSPECIFIED_64)
        return Error{EINVAL, "this service type needs a token rate"};
    if (spec.peak_bandwidth != XY_UNSPECIFIED_64 && spec.token_rate != XY_UNSPECIFIED_64 &&
        spec.peak_bandwidth < spec.token_rate)
        return Error{EINVAL, "the peak bandwidth is below the token rate"};
    return {};
}

Result<void> check_qos(const abi::Qos& qos) {
    if (qos.is_present == 0) return {};
    if (Result<void> sending = check_spec(qos.sending, true); !sending) return sending;
    return check_spec(qos.receiving, false);
}

static bool is_guarantee(uint32_t service_type) {
    return service_type == XY_SERVICE_CONTROLLED_LOAD || service_type == XY_SERVICE_GUARANTEED ||
           service_type == XY_SERVICE_NETWORK_CONTROL;
}

bool wants_guarantees(const abi::Qos& qos) {
    return qos.is_present != 0 && (is_guarantee(qos.sending.service_type) || is_guarantee(qos.receiving.service_type));
}

abi::Qos qos_of_direction(const abi::Qos& qos, uint32_t direction) {
    abi::Qos wanted = qos;
    if (direction == XY_RECEIVER_ONLY) wanted.sending = default_spec();
    if (direction == XY_SENDER_ONLY) wanted.receiving = default_spec();
    return wanted;
}

abi::Qos with_senders_values(const abi::Qos& receiver, const abi::Qos& sender) {
    abi::Qos filled = receiver;
    if (filled.is_present == 0 || filled.receiving.service_type != XY_SERVICE_CONTROLLED_LOAD) return filled;
    const auto fill = [](auto& field, auto from) {
        if (field == std::numeric_limits<std::remove_reference_t<decltype(field)>>::max()) field = from;
    };
    xy_flowspec& to = filled.receiving;
    fill(to.token_rate, sender.sending.token_rate);
    fill(to.token_bucket_size, sender.sending.token_bucket_size);
    fill(to.peak_bandwidth, sender.sending.peak_bandwidth);
    to.peak_bandwidth = std::max(to.peak_bandwidth, to.token_rate);  // of a receiver that wants more than there is
    fill(to.latency, sender.sending.latency);
    fill(to.delay_variation, sender.sending.delay_variation);
    fill(to.max_sdu_size, sender.sending.max_sdu_size);
    fill(to.minimum_policed_size, sender.sending.minimum_policed_size);
    return filled;
}

abi::Qos merged_qos(const abi::Qos& held, const abi::Qos& wanted) {
    abi::Qos merged = held;
    if (wanted.is_present == 0) return merged;
    if (wanted.sending.service_type != XY_SERVICE_NO_CHANGE) merged.sending = wanted.sending;
    if (wanted.receiving.service_type != XY_SERVICE_NO_CHANGE) merged.receiving = wanted.receiving;
    return merged;
}

}  // namespace xylem::session
