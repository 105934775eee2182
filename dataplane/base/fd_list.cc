// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/fd_list.h"

#include <dirent.h>

#include <algorithm>
#include <cstdlib>

namespace xylem {

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

}  // namespace xylem
