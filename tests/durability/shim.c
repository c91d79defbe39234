// shim.c - makes a disk of one folder that fails, or forgets: loaded before the C library.
//
//     FAULT_FOLDER=/a/store FAULT_AT=7 FAULT_ERRNO=5  the 7th operation there fails
//     FAULT_FOLDER=/a/store FAULT_LIES=1              no flush makes anything safe
//     FAULT_COUNT=/a/file                             how many there were, 8 bytes
//
// Operations: opening, writing, flushing, renaming and removing of what is in that folder.
// A write that fails has written half.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder;
static bool lies;
static uint64_t fail_at;
static int fail_errno;
static uint64_t *count; // atomic; shared with whoever has started the program

__attribute__((constructor)) static void
set_up(void)
{
    static uint64_t own;
    const char *at = getenv("FAULT_AT");
    const char *error = getenv("FAULT_ERRNO");
    const char *file = getenv("FAULT_COUNT");
    int fd = file != NULL ? open(file, O_RDWR | O_CLOEXEC) : -1;
    void *shared = fd >= 0
                       ? mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;

    count = shared != MAP_FAILED ? shared : &own;
    fail_at = at != NULL ? strtoull(at, NULL, 10) : 0;
    fail_errno = error != NULL ? atoi(error) : EIO;
    lies = getenv("FAULT_LIES") != NULL;
    folder = getenv("FAULT_FOLDER");
    if (fd >= 0) {
        (void) close(fd);
    }
}

// Whether it is that folder, or a file in it.
static bool
is_there(int fd)
{
    char link[64];
    char path[4096];

    if (folder == NULL) {
        return false;
    }
    (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    size_t folder_len = strlen(folder);
    if (len < (ssize_t) folder_len || memcmp(path, folder, folder_len) != 0) {
        return false;
    }
    path[len] = 0;
    return path[folder_len] == 0 || path[folder_len] == '/';
}

// Counts an operation. Returns whether it is the one that fails, and sets errno.
static bool
fails(int fd)
{
    if (!is_there(fd) || __atomic_add_fetch(count, 1, __ATOMIC_RELAXED) != fail_at) {
        return false;
    }
    errno = fail_errno;
    return true;
}

#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

int
openat(int dir, const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? (mode_t) va_arg(more, int) : 0;
    va_end(more);
    return fails(dir) ? -1 : REAL(openat)(dir, path, flags, mode);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int part_count, off_t at)
{
    if (fails(fd)) {
        int error = errno;
        (void) !pwrite(fd, parts[0].iov_base, parts[0].iov_len / 2, at);
        errno = error;
        return -1;
    }
    return REAL(pwritev)(fd, parts, part_count, at);
}

int
fdatasync(int fd)
{
    if (fails(fd)) {
        return -1;
    }
    return lies && is_there(fd) ? 0 : REAL(fdatasync)(fd);
}

int
fsync(int fd)
{
    if (fails(fd)) {
        return -1;
    }
    return lies && is_there(fd) ? 0 : REAL(fsync)(fd);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(from_dir) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}

int
unlinkat(int dir, const char *path, int flags)
{
    return fails(dir) ? -1 : REAL(unlinkat)(dir, path, flags);
}
