// SPDX-License-Identifier: Apache-2.0
// The receiving stages: ingress (a burst of frames → label → image or replica; or → group → image), what an image owes
// its sender (STATUS and NAK), and what readers have taken. Every frame that enters leaves by one door: stored, taken
// as feedback, or one named drop.
#pragma once
#include "dataplane/stage/context.h"
#include "dataplane/stage/group_ingress.h"
#include "dataplane/stage/label_table.h"

namespace xylem::stage {

/// Parses and delivers `n` frames that came in at one port; none is freed. Afterwards each was stored or counted, and
/// the images concerned are in context.touched.
void ingress(rte_mbuf** burst, uint16_t n, const InPort& port, const LabelTable& labels, Context& context);

/// Stores a data frame (from the wire or from a local stream) and notes the image as touched.
void store_frame(RxImage& image, const log::DataFrame& frame, Context& context);

/// For an image that was touched: looks at its readers if one rang, publishes its position for control, puts it in its
/// readers' ready rings, looks for holes, and sends a STATUS if one is due. The caller wakes who sleeps on it.
void settle(RxImage& image, Context& context);

/// Reads the readers' `consumed` words again. True: the slowest one moved.
bool refresh_consumed(RxImage& image, Context& context);

/// Puts a reader that went live into its ready ring, if something is there for it.
void announce(Reader& reader);

/// When on_image_timer has something to do; kNever: not at all.
uint64_t timer_of(const RxImage& image);

/// Timers of an image: NAKs (reliable), gaps to be given up (best effort), readers that may have reached the end
/// without ringing (kick_at moves back when the end becomes known; a reader may still have seen the old one).
void on_image_timer(RxImage& image, Context& context);

}  // namespace xylem::stage
