// slow_sync.c - preloaded into a process: each fdatasync takes SLOW_SYNC_US longer, as on
// a slower disk; and file WRITTEN_TO says how many bytes pwritev has written (u64). What
// the kernel says of a process counts whole folios, of which the device gets but the pages
// that have changed.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t nowhere, *written = &nowhere;

__attribute__((constructor)) static void
open_count(void)
{
    const char *name = getenv("WRITTEN_TO");
    int file = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;

    if (file >= 0) {
        void *at = mmap(NULL, sizeof *written, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        written = at != MAP_FAILED ? at : written;
        (void) close(file);
    }
}

ssize_t
pwritev(int file, const struct iovec *parts, int count, off_t at)
{
    long rv = syscall(SYS_pwritev, file, parts, count, at, 0);

    __atomic_add_fetch(written, rv > 0 ? (uint64_t) rv : 0, __ATOMIC_RELAXED);
    return rv;
}

int
fdatasync(int file)
{
    const char *text = getenv("SLOW_SYNC_US");
    long us = text != NULL ? atol(text) : 0;
    const struct timespec more = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    long rv = syscall(SYS_fdatasync, file);

    if (us > 0) {
        (void) nanosleep(&more, NULL);
    }
    return (int) rv;
}
