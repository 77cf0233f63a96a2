/* Preloaded into the server: makes the disk under WEIR_CHAOS_DIR slow, or refuses its writes as a full one does.
 *
 * The control page (WEIR_CHAOS_CONTROL, mapped by both sides) says what is wrong now, and counts what was done about it. Where nothing is
 * wrong a call costs one load more than without this. Only files under the directory are touched, whichever way they were opened. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile unsigned sync_ms;  /* each sync takes this much longer */
    volatile unsigned write_ms; /* each write too */
    volatile unsigned refuse;   /* writes fail with ENOSPC */
    volatile unsigned delayed;  /* calls that were delayed */
    volatile unsigned refused;  /* calls that failed */
};

static struct control quiet, *control = &quiet;
static const char *directory = "";
static size_t length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WEIR_CHAOS_CONTROL"), *under = getenv("WEIR_CHAOS_DIR");
    if (!path || !under) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED) return;
    directory = strdup(under);
    length = strlen(directory);
    control = page;
}

static int ours(int fd) {
    char link[32], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t read = readlink(link, path, sizeof path);
    return length && read > (ssize_t)length && !memcmp(path, directory, length) && path[length] == '/';
}

static void wait_for(unsigned ms) {
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) && errno == EINTR) {}
}

/* True when the call has to fail. */
static int disturb(int fd, int writes) {
    unsigned ms = writes ? control->write_ms : control->sync_ms;
    if (!ms && !(writes && control->refuse)) return 0;
    if (!ours(fd)) return 0;
    if (ms) {
        __sync_fetch_and_add(&control->delayed, 1);
        wait_for(ms);
    }
    if (!(writes && control->refuse)) return 0;
    __sync_fetch_and_add(&control->refused, 1);
    errno = ENOSPC;
    return 1;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return disturb(fd, 1) ? -1 : real(fd, data, size);
}
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    return disturb(fd, 1) ? -1 : real(fd, pieces, count);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    return disturb(fd, 1) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    return disturb(fd, 1) ? -1 : real(fd, data, size, at);
}
int fsync(int fd) {
    REAL(fsync);
    return disturb(fd, 0) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return disturb(fd, 0) ? -1 : real(fd);
}
