/* SPDX-License-Identifier: Apache-2.0 */
/* <xylem/socket.h> needs nothing before it. */
#include <xylem/socket.h>

int only_socket_h(void);
int only_socket_h(void) { return 0; }
