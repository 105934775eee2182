/* SPDX-License-Identifier: Apache-2.0
 * A leaf: joins the root, introduces itself, and prints each message until the root has ended the session.
 *
 *     leaf 10.77.0.1 7000 "the kitchen radio"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xylem/xylem.h>

static void die(const char* what) {
    fprintf(stderr, "leaf: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char** argv) {
    struct sockaddr_in root = {.sin_family = AF_INET};
    if (argc != 4 || inet_pton(AF_INET, argv[1], &root.sin_addr) != 1) {
        fprintf(stderr, "usage: leaf ADDRESS PORT NAME\n");
        return 2;
    }
    root.sin_port = htons((uint16_t)atoi(argv[2]));

    int leaf = xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    if (leaf < 0) die("no daemon");

    /* Asks the root. Up to 1024 bytes travel with the question, and as many with the answer. */
    struct xy_data name = {.buf = argv[3], .len = strlen(argv[3])};
    if (xy_join_leaf(leaf, (struct sockaddr*)&root, sizeof root, &name, NULL, NULL, NULL, XY_RECEIVER_ONLY) < 0)
        die(errno == ECONNREFUSED ? "no root there, or it refused" : "join");

    char message[65536]; /* SOCK_RDM: a receive gives one whole message, in order, none lost */
    for (;;) {
        ssize_t length = xy_recv(leaf, message, sizeof message, 0);
        if (length < 0 && errno == ESHUTDOWN) break; /* the root has ended, and everything was read */
        if (length < 0) die("the session broke off");
        fwrite(message, 1, (size_t)length, stdout);
    }
    xy_close(leaf);
    return fflush(stdout) == 0 ? 0 : 1;
}
