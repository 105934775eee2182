// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/fd_scan.h"

#include <dirent.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

namespace xylem::dpdk {

std::vector<int> list_fds() {
    std::vector<int> fds;
    DIR* dir = opendir("/proc/self/fd");
    if (dir == nullptr) return fds;
    while (const dirent* entry = readdir(dir)) {
        if (entry->d_name[0] == '.') continue;
        const int fd = atoi(entry->d_name);
        if (fd != dirfd(dir)) fds.push_back(fd);
    }
    closedir(dir);
    std::sort(fds.begin(), fds.end());
    return fds;
}

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
