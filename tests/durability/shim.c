// shim.c - makes a disk of one folder that fails, or forgets: loaded before the C library.
//
//     FAULT_FOLDER=/a/store FAULT_AT=7 FAULT_ERRNO=5  the 7th operation there fails
//     FAULT_KIND=flush                                the 7th of that kind
//     FAULT_STAYS=1                                   so do all of its kind behind it
//     FAULT_KILLS=1                                   it is the end of the process
//     FAULT_FOLDER=/a/store FAULT_LIES=1              no flush makes anything safe
//     FAULT_COUNT=/a/file                             how many there were: see `counted`
//
// Operations: the beginning of a process; opening, making, writing, flushing, renaming and
// removing of what is in that folder. A write that fails has written half. Where a flush
// fails, what was written to that file since the one before is gone: zeros are there.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { ANY, BEGIN, OPEN, MAKE, WRITE, FLUSH, RENAME, REMOVE, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = {"any",   "begin", "open",   "make",
                                                   "write", "flush", "rename", "remove"};

// Shared with whoever has started the program, and with what the program becomes; atomic.
typedef struct {
    uint64_t of_kind[KIND_COUNT];
    uint64_t failed;
    uint64_t armed; // 0: nothing fails yet
} counted;

static const char *folder;
static bool lies;
static bool stays;
static bool kills;
static enum kind fail_kind;
static uint64_t fail_at;
static int fail_errno;
static counted *counts;

static enum kind
kind_of(const char *name)
{
    for (int i = 0; name != NULL && i < KIND_COUNT; i++) {
        if (strcmp(name, kind_names[i]) == 0) {
            return (enum kind) i;
        }
    }
    return ANY;
}

static bool fails(enum kind kind);

__attribute__((constructor)) static void
set_up(void)
{
    static counted own;
    const char *at = getenv("FAULT_AT");
    const char *error = getenv("FAULT_ERRNO");
    const char *file = getenv("FAULT_COUNT");
    int fd = file != NULL ? open(file, O_RDWR | O_CLOEXEC) : -1;
    void *shared = fd >= 0
                       ? mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;

    counts = shared != MAP_FAILED ? shared : &own;
    fail_at = at != NULL ? strtoull(at, NULL, 10) : 0;
    fail_errno = error != NULL ? atoi(error) : EIO;
    fail_kind = kind_of(getenv("FAULT_KIND"));
    stays = getenv("FAULT_STAYS") != NULL;
    kills = getenv("FAULT_KILLS") != NULL;
    lies = getenv("FAULT_LIES") != NULL;
    folder = getenv("FAULT_FOLDER");
    if (fd >= 0) {
        (void) close(fd);
    }
    (void) fails(BEGIN);
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

// Counts an operation. Returns whether it is one that fails, and sets errno.
static bool
fails(enum kind kind)
{
    bool is_of_disk = kind != BEGIN;
    uint64_t any = __atomic_add_fetch(&counts->of_kind[ANY], is_of_disk, __ATOMIC_SEQ_CST);
    uint64_t own = __atomic_add_fetch(&counts->of_kind[kind], 1, __ATOMIC_SEQ_CST);
    uint64_t number = fail_kind == kind ? own : fail_kind == ANY && is_of_disk ? any : 0;
    bool is_armed = __atomic_load_n(&counts->armed, __ATOMIC_SEQ_CST) != 0;
    if (!is_armed || fail_at == 0 || number < fail_at || (number > fail_at && !stays)) {
        return false;
    }
    (void) __atomic_add_fetch(&counts->failed, 1, __ATOMIC_SEQ_CST);
    if (kills) {
        (void) raise(SIGKILL);
    }
    errno = fail_errno;
    return true;
}

// The same, for what is done in that folder.
static bool
fails_at(enum kind kind, int fd)
{
    return is_there(fd) && fails(kind);
}

// --- what was written and not flushed

typedef struct {
    dev_t disk;
    ino_t file;
    off_t at;
    size_t len;
} written;

enum { WRITTEN_MAX = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static written all_written[WRITTEN_MAX]; // lock
static size_t written_count;             // lock

#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static void
note_write(int fd, off_t at, ssize_t len)
{
    struct stat s;

    if (len <= 0 || fail_at == 0 || !is_there(fd) || fstat(fd, &s) != 0) {
        return;
    }
    (void) pthread_mutex_lock(&lock);
    if (written_count < WRITTEN_MAX) {
        all_written[written_count++] = (written){s.st_dev, s.st_ino, at, (size_t) len};
    }
    (void) pthread_mutex_unlock(&lock);
}

static void
put_zeros(int fd, const written *one)
{
    static const uint8_t zeros[4096];

    for (size_t done = 0; done < one->len; done += sizeof zeros) {
        size_t left = one->len - done;
        size_t len = left < sizeof zeros ? left : sizeof zeros;
        (void) !pwrite(fd, zeros, len, one->at + (off_t) done);
    }
}

// The file is flushed, or what was written to it is lost.
static void
end_writes(int fd, bool lost)
{
    struct stat s;

    if (fstat(fd, &s) != 0) {
        return;
    }
    (void) pthread_mutex_lock(&lock);
    size_t kept = 0;
    for (size_t i = 0; i < written_count; i++) {
        const written *one = &all_written[i];
        bool is_its = one->disk == s.st_dev && one->file == s.st_ino;
        if (!is_its) {
            all_written[kept++] = *one;
        } else if (lost) {
            put_zeros(fd, one);
        }
    }
    written_count = kept;
    (void) pthread_mutex_unlock(&lock);
}

// --- in place of the C library's

int
openat(int dir, const char *path, int flags, ...)
{
    va_list more;

    va_start(more, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? (mode_t) va_arg(more, int) : 0;
    va_end(more);
    bool makes = (flags & O_CREAT) != 0 && faccessat(dir, path, F_OK, 0) != 0;
    enum kind kind = makes ? MAKE : OPEN;
    return fails_at(kind, dir) ? -1 : REAL(openat)(dir, path, flags, mode);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int part_count, off_t at)
{
    if (fails_at(WRITE, fd)) {
        (void) !pwrite(fd, parts[0].iov_base, parts[0].iov_len / 2, at);
        errno = fail_errno;
        return -1;
    }
    ssize_t len = REAL(pwritev)(fd, parts, part_count, at);
    note_write(fd, at, len);
    return len;
}

static int
flush(int fd, int (*real)(int fd))
{
    bool has_failed = fails_at(FLUSH, fd);
    int rv = has_failed ? -1 : lies && is_there(fd) ? 0 : real(fd);

    end_writes(fd, has_failed);
    errno = has_failed ? fail_errno : errno;
    return rv;
}

int
fdatasync(int fd)
{
    return flush(fd, REAL(fdatasync));
}

int
fsync(int fd)
{
    return flush(fd, REAL(fsync));
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails_at(RENAME, from_dir) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}

int
unlinkat(int dir, const char *path, int flags)
{
    return fails_at(REMOVE, dir) ? -1 : REAL(unlinkat)(dir, path, flags);
}
