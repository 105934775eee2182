// SPDX-License-Identifier: Apache-2.0
// Options and ioctls: those of the process's own end are kept here, the daemon's are passed through.
#pragma once
#include <xylem/socket.h>

namespace xylem::shim {

struct Socket;

int set_option(Socket& s, int level, int name, const void* value, socklen_t length);
int get_option(Socket& s, int level, int name, void* value, socklen_t* length);

struct IoctlBuffers {
    const void* in;
    size_t in_bytes;
    void* out;
    size_t out_bytes;
    size_t* returned;
};
int control(Socket& s, unsigned code, const IoctlBuffers& buffers);

}  // namespace xylem::shim
