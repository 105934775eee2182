// SPDX-License-Identifier: Apache-2.0
// What every stage is given: the time of this poll, the drop counters, the joined groups, and the lists by which one
// stage tells a later one what to look at.
#pragma once
#include "dataplane/base/drops.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/stage/group_table.h"
#include "dataplane/stage/rx_image.h"
#include "dataplane/stage/tx_stream.h"

namespace xylem::stage {

struct Context {
    uint64_t now = 0;  // TSC, read once per poll
    uint64_t us = 1;   // TSC ticks per microsecond
    DropCounters drops;
    GroupTable groups;
    bool is_up_to_date = true;  // every command that was given before the commits of the last poll were sampled is done
    IntrusiveList<RxImage, &RxImage::in_touched> touched;        // published may have moved
    IntrusiveList<RxImage, &RxImage::in_timed> timed_images;     // nak_at, or the image's own deadline
    IntrusiveList<TxStream, &TxStream::in_active> active;        // commit is polled
    IntrusiveList<TxStream, &TxStream::in_timed> timed_streams;  // heartbeat_at
};

}  // namespace xylem::stage
