/* SPDX-License-Identifier: Apache-2.0 */
/* <xylem/events.h> needs nothing before it. */
#include <xylem/events.h>

int only_events_h(void);
int only_events_h(void) { return 0; }
