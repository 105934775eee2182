// SPDX-License-Identifier: Apache-2.0
// Writes the pages made from the key table: `ninja config-pages` refreshes them in the source tree.
#include <cstdio>
#include <fstream>

#include "control/config/key_table.h"

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: print_pages EXAMPLE REFERENCE\n", stderr);
        return 2;
    }
    std::ofstream example(argv[1]), reference(argv[2]);
    example << xylem::config::example_text() << std::flush;
    reference << xylem::config::reference_text() << std::flush;
    return example && reference ? 0 : 1;
}
