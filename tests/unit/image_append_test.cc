// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "dataplane/log/image.h"
#include "tests/unit/reference_reader.h"

namespace xylem::log {
namespace {

constexpr Geometry kSmall{256, 6};

Image make_image(const Geometry& geometry = kSmall) {
    Image image = std::move(*Image::create({.geometry = geometry, .flags = abi::kImageGroup, .n_prefault_cells = 0}));
    image.go_live(0, 0);
    return image;
}

bool append(Image& image, const std::string& prefix, const std::string& payload) {
    const auto bytes = [](const std::string& s) {
        return std::span(reinterpret_cast<const uint8_t*>(s.data()), s.size());
    };
    return image.append(bytes(prefix), bytes(payload));
}

TEST(ImageAppendTest, RecordsAreThereAtOnceAndWhole) {
    Image image = make_image();
    EXPECT_EQ(image.header().flags, abi::kImageGroup);
    test::ReferenceReader reader(image.fd(), kSmall, image.published());
    ASSERT_TRUE(append(image, "head", "body"));
    ASSERT_TRUE(append(image, "", ""));
    reader.drain();
    EXPECT_EQ(reader.messages, (std::vector<std::string>{"headbody", ""}));
    EXPECT_EQ(reader.position(), image.published());
}

TEST(ImageAppendTest, CellsAreClosedEarlyAndNothingIsLost) {
    std::mt19937_64 random(3);
    Image image = make_image();
    test::ReferenceReader reader(image.fd(), kSmall, 0);
    std::vector<std::string> sent;
    for (int i = 0; i < 5000; ++i) {
        const std::string prefix(random() % 33, 'p'), payload(random() % (kSmall.cell_bytes - 8 - 32), 'x');
        ASSERT_TRUE(append(image, prefix, payload));
        sent.push_back(prefix + payload);
        if (i % 20 == 0) reader.drain();
    }
    reader.drain();
    EXPECT_TRUE(reader.messages == sent);
    EXPECT_EQ(reader.lost_bytes, 0U);
    EXPECT_EQ(image.lost_bytes(), 0U);
    EXPECT_EQ(image.deadline(), ~0ULL);  // it waits for nothing
}

TEST(ImageAppendTest, RecordThatFillsACellExactlyFits) {
    Image image = make_image();
    test::ReferenceReader reader(image.fd(), kSmall, 0);
    const std::string whole(kSmall.cell_bytes - 8, 'w');
    for (int i = 0; i < 3; ++i)
        ASSERT_TRUE(append(image, "", whole));
    EXPECT_EQ(image.published(), abi::cell_start(3));
    EXPECT_FALSE(append(image, "", whole + "x"));
    EXPECT_EQ(image.published(), abi::cell_start(3));
    reader.drain();
    EXPECT_EQ(reader.messages.size(), 3U);
}

TEST(ImageAppendTest, LappedReaderGoesOnAtTheFloorAndKnows) {
    Image image = make_image();
    test::ReferenceReader reader(image.fd(), kSmall, 0);
    for (int i = 0; i < 1000; ++i)
        ASSERT_TRUE(append(image, "", std::to_string(i) + std::string(100, ' ')));
    reader.drain();
    EXPECT_GE(reader.n_laps, 1U);
    EXPECT_GT(reader.lost_bytes, 0U);
    ASSERT_GT(reader.messages.size(), 60U);
    for (size_t i = 0; i < reader.messages.size(); ++i)
        EXPECT_EQ(std::stoul(reader.messages[i]), 1000 - reader.messages.size() + i);
}

TEST(ImageAppendTest, ReaderThatIsOvertakenWhileItCopiesSeesWholeRecordsInOrder) {
    Image image = make_image();
    constexpr unsigned kRecords = 200'000;
    std::thread writer([&] {
        std::mt19937_64 random(5);
        for (unsigned i = 0; i < kRecords; ++i)
            append(image, std::to_string(i) + " ", std::string(random() % 200, static_cast<char>('a' + i % 26)));
    });
    test::ReferenceReader reader(image.fd(), kSmall, 0);
    unsigned long next = 0, n_read = 0;
    while (next < kRecords && !reader.is_hostile) {
        reader.messages.clear();
        reader.step();
        for (const std::string& message : reader.messages) {
            const unsigned long number = std::stoul(message);
            const std::string body = message.substr(message.find(' ') + 1);
            ASSERT_GE(number, next);
            ASSERT_EQ(body, std::string(body.size(), static_cast<char>('a' + number % 26)));
            next = number + 1;
            ++n_read;
        }
    }
    writer.join();
    EXPECT_FALSE(reader.is_hostile);
    EXPECT_GT(n_read, 0U);
}

}  // namespace
}  // namespace xylem::log
