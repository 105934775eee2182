/* SPDX-License-Identifier: Apache-2.0 */
/* <xylem/stats.h> needs nothing before it. */
#include <xylem/stats.h>

int only_stats_h(void);
int only_stats_h(void) { return 0; }
