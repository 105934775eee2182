// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over the files of a folder: each whole, and cut at every length.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size);

int main(int argc, char** argv) {
    if (argc != 2) return std::fprintf(stderr, "usage: %s CORPUS\n", argv[0]), 2;
    size_t n_files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
        for (size_t size = 0; size <= bytes.size(); ++size)
            LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), size);
        ++n_files;
    }
    std::printf("%zu files\n", n_files);
    return n_files == 0 ? 1 : 0;
}
