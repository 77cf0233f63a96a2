/* Preloaded into a client: its IPv4 connections come from the address in FROM_ADDRESS, e.g. 127.1.2.3, as if it ran on another machine. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>

static int is_any(const struct sockaddr *address, struct sockaddr_in *own) {
    const char *from = getenv("FROM_ADDRESS");
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    if (!from || address->sa_family != AF_INET || in->sin_addr.s_addr != htonl(INADDR_ANY))
        return 0;
    *own = *in;
    return inet_pton(AF_INET, from, &own->sin_addr) == 1;
}

int bind(int fd, const struct sockaddr *address, socklen_t size) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    struct sockaddr_in own;
    return is_any(address, &own) ? real(fd, (struct sockaddr *)&own, sizeof own) : real(fd, address, size);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in bound = {0}, own;
    socklen_t length = sizeof bound;
    /* Only where nothing has chosen an address, and only towards loopback. */
    if (address->sa_family == AF_INET && (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) == 127 &&
        getsockname(fd, (struct sockaddr *)&bound, &length) == 0 && bound.sin_port == 0 && is_any((struct sockaddr *)&bound, &own))
        bind(fd, (struct sockaddr *)&own, sizeof own);
    return real(fd, address, size);
}
