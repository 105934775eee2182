// SPDX-License-Identifier: Apache-2.0
// The result of a set-up or control operation: a value, or an errno with one sentence that names the operand.
// (std::expected does not work with clang 14.) Per-packet code does not use this: there, a failure is a named drop.
#pragma once
#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace xylem {

/// Why something failed: `code` is an errno value, `what` one sentence with the operand ("af_xdp:eth7: no such
/// interface").
struct Error {
    int code;
    std::string what;
};

/// Either a T or an Error. [[nodiscard]]: whoever gets one handles it.
template <class T>
class [[nodiscard]] Result {
  public:
    Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const { return held_.index() == 0; }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    T& value() {
        assert(held_.index() == 0);
        return *std::get_if<0>(&held_);
    }
    const T& value() const {
        assert(held_.index() == 0);
        return *std::get_if<0>(&held_);
    }
    const Error& error() const {
        assert(held_.index() == 1);
        return *std::get_if<1>(&held_);
    }

  private:
    std::variant<T, Error> held_;
};

/// Success without a value.
template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)), failed_(true) {}
    explicit operator bool() const { return !failed_; }
    const Error& error() const {
        assert(failed_);
        return error_;
    }

  private:
    Error error_{};
    bool failed_ = false;
};

}  // namespace xylem
