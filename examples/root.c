/* SPDX-License-Identifier: Apache-2.0
 * A root: waits for some leaves, sends each line of standard input to all of them as one message, and says at the end
 * who has confirmed everything.
 *
 *     root 10.77.0.1 7000 2 <poem.txt          (needs a running xylemd; $XYLEM_SOCKET says where)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xylem/xylem.h>

#define MAX_LEAVES 64

static void die(const char* what) {
    fprintf(stderr, "root: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Waits until the leaf has taken everything, has left, or was lost: each ends with FD_CLOSE on its descriptor. */
static int wait_for_close(int leaf) {
    struct pollfd readable = {.fd = leaf, .events = POLLIN};
    struct xy_events events = {0};
    while (!(events.events & XY_FD_CLOSE)) {
        poll(&readable, 1, -1); /* a Xylem descriptor is an ordinary one: poll, select and epoll take it */
        if (xy_enum_events(leaf, -1, &events) != 0) die("enum_events");
    }
    return events.error[XY_FD_CLOSE_BIT];
}

int main(int argc, char** argv) {
    struct sockaddr_in own = {.sin_family = AF_INET};
    int n_leaves = argc == 4 ? atoi(argv[3]) : 0;
    if (n_leaves < 1 || n_leaves > MAX_LEAVES || inet_pton(AF_INET, argv[1], &own.sin_addr) != 1) {
        fprintf(stderr, "usage: root ADDRESS PORT LEAVES (1 to %d)\n", MAX_LEAVES);
        return 2;
    }
    own.sin_port = htons((uint16_t)atoi(argv[2]));

    /* The root of the control plane (who belongs to the session) and of the data plane (who sends to all). */
    int root = xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT);
    if (root < 0) die("no daemon");
    if (xy_bind(root, (struct sockaddr*)&own, sizeof own) != 0) die("bind");
    if (xy_listen(root, MAX_LEAVES) != 0) die("listen");

    /* One descriptor per leaf, for what happens to that leaf. Data for all goes to `root`. */
    int leaves[MAX_LEAVES];
    for (int i = 0; i < n_leaves; i++) {
        leaves[i] = xy_accept(root, NULL, NULL, NULL, NULL);
        if (leaves[i] < 0) die("accept");
        if (xy_event_select(leaves[i], -1, XY_FD_CLOSE) != 0) die("event_select");
    }

    char line[4096]; /* what is sent after xy_accept returned reaches that leaf: nothing is lost at join */
    while (fgets(line, sizeof line, stdin))
        if (xy_send(root, line, strlen(line), 0) < 0) die("send");

    if (xy_shutdown(root, SHUT_WR) != 0) die("shutdown");
    int n_whole = 0;
    for (int i = 0; i < n_leaves; i++) {
        int error = wait_for_close(leaves[i]);
        if (error == 0) n_whole++;
        fprintf(stderr, "root: leaf %d: %s\n", i, error == 0 ? "has everything" : strerror(error));
        xy_close(leaves[i]);
    }
    xy_close(root);
    return n_whole == n_leaves ? 0 : 1;
}
