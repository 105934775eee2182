// SPDX-License-Identifier: Apache-2.0
// Writes the pages made from the key table: `ninja config-pages` refreshes them in the source tree.
#include <cstdio>
#include <fstream>

#include "control/config/key_table.h"

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: print_pages EXAMPLE REFERENCE MANUAL\n", stderr);
        return 2;
    }
    std::ofstream example(argv[1]), reference(argv[2]), manual(argv[3]);
    example << xylem::config::example_text() << std::flush;
    reference << xylem::config::reference_text() << std::flush;
    manual << xylem::config::manual_text() << std::flush;
    return example && reference && manual ? 0 : 1;
}
