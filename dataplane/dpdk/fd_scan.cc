// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/fd_scan.h"

#include <sys/socket.h>

#include <algorithm>

#include "dataplane/base/fd_list.h"

namespace xylem::dpdk {

std::vector<int> new_sockets(const std::vector<int>& before, int domain) {
    std::vector<int> found;
    for (const int fd : list_fds()) {
        if (std::binary_search(before.begin(), before.end(), fd)) continue;
        int its_domain = 0;
        socklen_t length = sizeof its_domain;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &its_domain, &length) == 0 && its_domain == domain)
            found.push_back(fd);
    }
    return found;
}

}  // namespace xylem::dpdk
