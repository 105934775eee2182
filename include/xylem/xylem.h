/* SPDX-License-Identifier: Apache-2.0 */
/* Everything: sockets, events, flow specifications, statistics. Link with -lxylem (pkg-config xylem). */
#ifndef XYLEM_XYLEM_H
#define XYLEM_XYLEM_H
#include <xylem/events.h>
#include <xylem/qos.h>
#include <xylem/socket.h>
#include <xylem/stats.h>
#endif
