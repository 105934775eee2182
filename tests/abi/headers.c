/* SPDX-License-Identifier: Apache-2.0 */
/* The public headers alone, in C11. */
#include <xylem/xylem.h>

int main(void) { return xy_version() == 0; }
