// slow_sync.c - preloaded into a process: each fdatasync takes SLOW_SYNC_US longer, as on
// a slower disk.
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int
fdatasync(int file)
{
    const char *text = getenv("SLOW_SYNC_US");
    long us = text != NULL ? atol(text) : 0;
    const struct timespec more = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    long rv = syscall(SYS_fdatasync, file);

    (void) nanosleep(&more, NULL);
    return (int) rv;
}
