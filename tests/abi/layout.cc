// SPDX-License-Identifier: Apache-2.0
// Prints the layout of every structure that crosses a border: sizes and offsets, one line each. layout.txt is what it
// must print: a change of it is a change of the ABI, and is made on purpose.
#include <xylem/abi/command.h>
#include <xylem/abi/group.h>
#include <xylem/abi/image.h>
#include <xylem/abi/log.h>
#include <xylem/abi/record.h>
#include <xylem/abi/segment.h>
#include <xylem/xylem.h>

#include <cstddef>
#include <cstdio>

using namespace xylem::abi;

#define SIZE(type) printf("%s %zu\n", #type, sizeof(type))
#define FIELD(type, member) printf("%s.%s %zu\n", #type, #member, offsetof(type, member))

static void print_segments() {
    SIZE(AppSocket);
    FIELD(AppSocket, consumed);
    FIELD(AppSocket, seen);
    FIELD(AppSocket, qos_seen);
    SIZE(AppSegment);
    FIELD(AppSegment, summary);
    FIELD(AppSegment, bell);
    FIELD(AppSegment, sockets);
    SIZE(EngineSocket);
    FIELD(EngineSocket, limit);
    FIELD(EngineSocket, is_watched);
    FIELD(EngineSocket, send_error);
    FIELD(EngineSocket, phase);
    FIELD(EngineSocket, connect_done);
    FIELD(EngineSocket, connect_error);
    FIELD(EngineSocket, has_ended);
    FIELD(EngineSocket, close_error);
    FIELD(EngineSocket, backlog);
    FIELD(EngineSocket, leaves);
    FIELD(EngineSocket, direction);
    FIELD(EngineSocket, is_live);
    FIELD(EngineSocket, qos_changes);
    FIELD(EngineSocket, qos_code);
    FIELD(EngineSocket, is_joining);
    FIELD(EngineSocket, generation);
    FIELD(EngineSocket, read_end);
    FIELD(EngineSocket, has_inbox);
    FIELD(EngineSocket, app_id);
    FIELD(EngineSocket, destinations_changed);
    FIELD(EngineSocket, has_delivered);
    SIZE(GroupSend);
    SIZE(GroupReceived);
    FIELD(GroupReceived, port);
    FIELD(GroupReceived, family);
    FIELD(GroupReceived, ifindex);
    FIELD(GroupReceived, origin);
    SIZE(EngineSegment);
    FIELD(EngineSegment, worker_sleeps);
    FIELD(EngineSegment, sockets);
    SIZE(InboxEngine);
    FIELD(InboxEngine, ring);
    SIZE(InboxSlot);
    FIELD(InboxSlot, acked);
    SIZE(InboxApp);
    FIELD(InboxApp, slots);
}

static void print_logs() {
    SIZE(RecordHeader);
    FIELD(RecordHeader, type);
    FIELD(RecordHeader, flags);
    SIZE(LogHeader);
    FIELD(LogHeader, cell_bytes);
    FIELD(LogHeader, used_off);
    FIELD(LogHeader, cells_off);
    FIELD(LogHeader, total_bytes);
    FIELD(LogHeader, commit);
    SIZE(ImageHeader);
    FIELD(ImageHeader, flags);
    FIELD(ImageHeader, ends_off);
    FIELD(ImageHeader, cells_off);
    FIELD(ImageHeader, total_bytes);
    FIELD(ImageHeader, published);
    FIELD(ImageHeader, kick_at);
    FIELD(ImageHeader, final);
    FIELD(ImageHeader, floor);
    SIZE(CellEnd);
    FIELD(CellEnd, next);
    FIELD(CellEnd, lost);
    FIELD(CellEnd, used);
    constexpr Geometry kDefault{kDefaultCellBytes, kDefaultCellsLog2};
    printf("log_cells_off %lu\n", static_cast<unsigned long>(log_cells_off(kDefault)));
    printf("log_total_bytes %lu\n", static_cast<unsigned long>(log_total_bytes(kDefault)));
    printf("image_cells_off %lu\n", static_cast<unsigned long>(image_cells_off(kDefault)));
    printf("image_total_bytes %lu\n", static_cast<unsigned long>(image_total_bytes(kDefault)));
}

static void print_commands() {
    SIZE(RequestHeader);
    SIZE(ReplyHeader);
    SIZE(AttachReply);
    SIZE(SocketBody);
    SIZE(SocketReply);
    SIZE(AddressBody);
    SIZE(ListenBody);
    SIZE(Qos);
    SIZE(JoinBody);
    FIELD(JoinBody, caller);
    SIZE(JoinResultReply);
    SIZE(AcceptTakeReply);
    FIELD(AcceptTakeReply, caller_data);
    SIZE(AcceptDecideBody);
    FIELD(AcceptDecideBody, callee);
    SIZE(HowBody);
    SIZE(CloseBody);
    SIZE(BlobBody);
    SIZE(OptionBody);
    SIZE(NameBody);
    SIZE(LogReply);
    SIZE(ImageBody);
    SIZE(ImageReply);
    SIZE(StatsReply);
    SIZE(LeafStatsBody);
    SIZE(QosBody);
    SIZE(DestinationReply);
    printf("kAttach %d\n", static_cast<int>(Op::kAttach));
    printf("kGetQos %d\n", static_cast<int>(Op::kGetQos));
}

static void print_public() {
    SIZE(struct xy_data);
    SIZE(struct xy_flowspec);
    SIZE(struct xy_qos);
    SIZE(struct xy_span);
    FIELD(struct xy_span, cookie);
    FIELD(struct xy_span, source);
    SIZE(struct xy_msg);
    FIELD(struct xy_msg, received);
    FIELD(struct xy_msg, lost_bytes);
    FIELD(struct xy_msg, from_len);
    SIZE(struct xy_request);
    FIELD(struct xy_request, flags);
    SIZE(struct xy_protocol);
    SIZE(struct xy_events);
    SIZE(struct xy_stats);
    FIELD(struct xy_stats, thinned_bytes);
    SIZE(struct xy_leaf_stats);
    FIELD(struct xy_leaf_stats, address);
}

int main() {
    print_segments();
    print_logs();
    print_commands();
    print_public();
}
