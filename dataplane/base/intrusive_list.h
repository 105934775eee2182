// SPDX-License-Identifier: Apache-2.0
// A doubly linked list whose links lie in the elements: joining and leaving allocate nothing. An element is in at most
// one list per link.
#pragma once
#include <cstddef>

namespace xylem {

template <class T>
struct ListLink {
    T* prev = nullptr;
    T* next = nullptr;
    bool is_linked = false;
};

template <class T, ListLink<T> T::*Link>
class IntrusiveList {
  public:
    T* front() const { return head_; }
    static T* next(const T& element) { return (element.*Link).next; }
    bool is_empty() const { return head_ == nullptr; }
    size_t size() const { return size_; }

    /// Appends; nothing happens when it is in already.
    void add(T& element) {
        ListLink<T>& link = element.*Link;
        if (link.is_linked) return;
        link = {tail_, nullptr, true};
        if (tail_ != nullptr)
            (tail_->*Link).next = &element;
        else
            head_ = &element;
        tail_ = &element;
        ++size_;
    }

    /// Nothing happens when it is not in.
    void remove(T& element) {
        ListLink<T>& link = element.*Link;
        if (!link.is_linked) return;
        (link.prev != nullptr ? (link.prev->*Link).next : head_) = link.next;
        (link.next != nullptr ? (link.next->*Link).prev : tail_) = link.prev;
        link = {};
        --size_;
    }

  private:
    T* head_ = nullptr;
    T* tail_ = nullptr;
    size_t size_ = 0;
};

}  // namespace xylem
