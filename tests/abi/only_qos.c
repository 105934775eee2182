/* SPDX-License-Identifier: Apache-2.0 */
/* <xylem/qos.h> needs nothing before it. */
#include <xylem/qos.h>

int only_qos_h(void);
int only_qos_h(void) { return 0; }
