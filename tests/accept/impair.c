/* A bad network for one UDP client: loses some datagrams both ways, and delays the others.
 *
 *   impair TARGET_ADDRESS TARGET_PORT LOSS_PER_MILLE DELAY_MS SEED
 *
 * Prints the port it listens on; when its input ends, what each way has taken, lost and refused for lack of room:
 * `UP_TAKEN UP_LOST UP_FULL DOWN_TAKEN DOWN_LOST DOWN_FULL`. The newest client's address gets the answers. The delay is the same for all, so nothing overtakes.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 2048, ROOM = 16384, BUFFER = 4 << 20 };

struct datagram {
    int64_t due; /* ns */
    int length;
    char bytes[SIZE];
};

struct way {
    struct datagram *queue; /* a ring: the delay is constant, so the first one in is the first one due */
    unsigned first, count;
    unsigned long taken, lost, full;
    uint64_t random;
};

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* xorshift64* */
static unsigned per_mille(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (unsigned)(((*state * 0x2545F4914F6CDD1DULL) >> 33) % 1000);
}

static void take(struct way *way, int from, struct sockaddr_in *sender, unsigned loss, int64_t delay) {
    for (;;) {
        struct datagram *next = &way->queue[(way->first + way->count) % ROOM];
        socklen_t size = sizeof *sender;
        int length = recvfrom(from, next->bytes, SIZE, MSG_DONTWAIT, (struct sockaddr *)sender, sender ? &size : NULL);
        if (length < 0)
            return;
        way->taken++;
        if (per_mille(&way->random) < loss) {
            way->lost++;
        } else if (way->count == ROOM - 1) {
            way->full++;
        } else {
            next->length = length;
            next->due = now() + delay;
            way->count++;
        }
    }
}

static void give(struct way *way, int to, const struct sockaddr_in *receiver) {
    while (way->count && way->queue[way->first].due <= now()) {
        struct datagram *datagram = &way->queue[way->first];
        if (!receiver || receiver->sin_port)
            sendto(to, datagram->bytes, datagram->length, 0, (const struct sockaddr *)receiver, receiver ? sizeof *receiver : 0);
        way->first = (way->first + 1) % ROOM;
        way->count--;
    }
}

static int open_socket(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), buffer = BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer)) /* over the system's limit, as root may */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    return fd;
}

int main(int count, char **words) {
    if (count != 6)
        return 64;
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(atoi(words[2]))}, own = {.sin_family = AF_INET}, client = {0};
    inet_pton(AF_INET, words[1], &target.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &own.sin_addr);
    unsigned loss = atoi(words[3]);
    int64_t delay = atoll(words[4]) * 1000000;
    uint64_t seed = strtoull(words[5], NULL, 10) * 2 + 1;
    struct way up = {.random = seed * 0x9E3779B97F4A7C15ULL}, down = {.random = seed * 0xD1B54A32D192ED03ULL};
    up.queue = malloc(ROOM * sizeof *up.queue);
    down.queue = malloc(ROOM * sizeof *down.queue);

    int front = open_socket(), back = open_socket();
    socklen_t size = sizeof own;
    if (bind(front, (struct sockaddr *)&own, sizeof own) || getsockname(front, (struct sockaddr *)&own, &size) ||
        connect(back, (struct sockaddr *)&target, sizeof target)) {
        perror("impair");
        return 69;
    }
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);

    for (;;) {
        int64_t due = INT64_MAX, left;
        if (up.count)
            due = up.queue[up.first].due;
        if (down.count && down.queue[down.first].due < due)
            due = down.queue[down.first].due;
        left = due == INT64_MAX ? 1000000000 : due - now();
        struct timespec wait = {left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
        struct pollfd watched[] = {{front, POLLIN, 0}, {back, POLLIN, 0}, {0, POLLIN, 0}};
        ppoll(watched, 3, &wait, NULL);
        take(&up, front, &client, loss, delay);
        take(&down, back, NULL, loss, delay);
        give(&up, back, NULL);
        give(&down, front, &client);
        char byte;
        if (watched[2].revents && read(0, &byte, 1) <= 0)
            break;
    }
    printf("%lu %lu %lu %lu %lu %lu\n", up.taken, up.lost, up.full, down.taken, down.lost, down.full);
    return 0;
}
