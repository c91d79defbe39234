#include "store/disk_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"

typedef struct {
    nmq_disk base; // first
    int folder;
    int lock;
} folder;

static const folder *
folder_of(const nmq_disk *disk)
{
    return (const folder *) (const void *) disk;
}

static int
list(nmq_disk *disk, void (*fn)(void *arg, const char *name), void *arg)
{
    int fd = openat(folder_of(disk)->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void) close(fd);
        }
        return error;
    }
    errno = 0;
    for (const struct dirent *d; (d = readdir(dir)) != NULL; errno = 0) {
        fn(arg, d->d_name);
    }
    int error = errno;
    (void) closedir(dir);
    return error;
}

static int
open_file(nmq_disk *disk, const char *name, bool make, int *file)
{
    int how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT | O_TRUNC : 0);

    *file = openat(folder_of(disk)->folder, name, how, 0600);
    return *file >= 0 ? 0 : errno;
}

static int
size(nmq_disk *disk, int file, uint64_t *bytes)
{
    struct stat s;

    (void) disk;
    if (fstat(file, &s) != 0) {
        return errno;
    }
    *bytes = (uint64_t) s.st_size;
    return 0;
}

static int
read_file(nmq_disk *disk, int file, uint64_t at, uint8_t *to, size_t len)
{
    (void) disk;
    while (len > 0) {
        ssize_t n = pread(file, to, len, (off_t) at);
        if (n > 0) {
            to += n;
            at += (uint64_t) n;
            len -= (size_t) n;
        } else if (n == 0 || errno != EINTR) {
            return n == 0 ? EIO : errno;
        }
    }
    return 0;
}

// Takes `done` bytes off the front of what is to be written. Returns what is left of it.
static struct iovec *
advance(struct iovec *part, const struct iovec *end, size_t done)
{
    while (part < end && done >= part->iov_len) {
        done -= part->iov_len;
        part++;
    }
    if (part < end) {
        part->iov_base = (uint8_t *) part->iov_base + done;
        part->iov_len -= done;
    }
    return part;
}

static int
write_file(nmq_disk *disk, int file, uint64_t at, const nmq_bytes *parts, int count)
{
    struct iovec all[NMQ_DISK_PARTS_MAX];
    struct iovec *end = all + count;

    (void) disk;
    for (int i = 0; i < count; i++) {
        all[i] = (struct iovec){(void *) (uintptr_t) parts[i].at, parts[i].len};
    }
    for (struct iovec *part = advance(all, end, 0); part < end;) {
        ssize_t n = pwritev(file, part, (int) (end - part), (off_t) at);
        if (n > 0) {
            at += (uint64_t) n;
            part = advance(part, end, (size_t) n);
        } else if (n == 0 || errno != EINTR) {
            return n == 0 ? EIO : errno;
        }
    }
    return 0;
}

static int
sync_file(nmq_disk *disk, int file)
{
    (void) disk;
    return fdatasync(file) == 0 ? 0 : errno;
}

static void
close_file(nmq_disk *disk, int file)
{
    (void) disk;
    (void) close(file);
}

static int
rename_file(nmq_disk *disk, const char *from, const char *to)
{
    int at = folder_of(disk)->folder;

    return renameat(at, from, at, to) == 0 ? 0 : errno;
}

static int
remove_file(nmq_disk *disk, const char *name)
{
    return unlinkat(folder_of(disk)->folder, name, 0) == 0 ? 0 : errno;
}

static int
sync_names(nmq_disk *disk)
{
    return fsync(folder_of(disk)->folder) == 0 ? 0 : errno;
}

static int
claim(nmq_disk *disk, bool claims)
{
    int how = claims ? LOCK_EX | LOCK_NB : LOCK_UN;

    return flock(folder_of(disk)->folder, how) == 0 ? 0 : errno;
}

static const nmq_disk_ops ops = {
    .list = list,
    .open = open_file,
    .size = size,
    .read = read_file,
    .write = write_file,
    .sync = sync_file,
    .close = close_file,
    .rename = rename_file,
    .remove = remove_file,
    .sync_names = sync_names,
    .claim = claim,
};

// --- only read

// What is no file gives ENOTSUP: a pipe would have its reader wait.
static int
open_read(nmq_disk *disk, const char *name, bool make, int *file)
{
    int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    struct stat s;

    if (make) {
        return EROFS;
    }
    *file = openat(folder_of(disk)->folder, name, how);
    if (*file < 0) {
        return errno;
    }
    int error = fstat(*file, &s) != 0 ? errno : S_ISREG(s.st_mode) ? 0 : ENOTSUP;
    if (error != 0) {
        (void) close(*file);
    }
    return error;
}

static int
write_nothing(nmq_disk *disk, int file, uint64_t at, const nmq_bytes *parts, int count)
{
    (void) disk;
    (void) file;
    (void) at;
    (void) parts;
    (void) count;
    return EROFS;
}

static int
sync_nothing(nmq_disk *disk, int file)
{
    (void) disk;
    (void) file;
    return EROFS;
}

static int
rename_nothing(nmq_disk *disk, const char *from, const char *to)
{
    (void) disk;
    (void) from;
    (void) to;
    return EROFS;
}

static int
remove_nothing(nmq_disk *disk, const char *name)
{
    (void) disk;
    (void) name;
    return EROFS;
}

static int
sync_no_names(nmq_disk *disk)
{
    (void) disk;
    return EROFS;
}

static int
claim_nothing(nmq_disk *disk, bool claims)
{
    (void) disk;
    (void) claims;
    return EROFS;
}

static const nmq_disk_ops read_ops = {
    .list = list,
    .open = open_read,
    .size = size,
    .read = read_file,
    .write = write_nothing,
    .sync = sync_nothing,
    .close = close_file,
    .rename = rename_nothing,
    .remove = remove_nothing,
    .sync_names = sync_no_names,
    .claim = claim_nothing,
};

// --- the folder

static const char *const lock_name = "lock";

static struct flock
lock_of(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
}

// Has the disk know the folder's name: flushes the folder above it. A parent whose names
// this user may not read, and a file system that flushes no folders, are no fault.
static int
sync_parent(const folder *f)
{
    int parent = openat(f->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (parent < 0) {
        return errno == EACCES ? 0 : errno;
    }
    int error = fsync(parent) == 0 || errno == EINVAL ? 0 : errno;
    (void) close(parent);
    return error;
}

// Opens it, made and locked. Returns 0 or an errno.
static int
open_folder(folder *f, const char *path)
{
    bool made = mkdir(path, 0700) == 0;

    if (!made && errno != EEXIST) {
        return errno;
    }
    f->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->folder < 0 || fchmod(f->folder, 0700) != 0) {
        return errno;
    }
    int error = made ? sync_parent(f) : 0;
    if (error != 0) {
        return error;
    }
    f->lock = openat(f->folder, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct flock lock = lock_of();
    return f->lock >= 0 && fcntl(f->lock, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

// Whether a process has the folder. It is asked, and not tried: a process that starts
// meanwhile gets it.
static bool
is_in_use(const folder *f)
{
    int how = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = openat(f->folder, lock_name, how);
    struct flock lock = lock_of();

    if (fd < 0) {
        return false;
    }
    bool found = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void) close(fd);
    return found;
}

// Opens it to read, with files that stay. Returns 0 or an errno.
static int
open_to_read(folder *f, const char *path)
{
    int rv;

    f->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->folder < 0) {
        return errno;
    }
    do { // it is held no longer than a file takes to be renamed
        rv = flock(f->folder, LOCK_SH);
    } while (rv != 0 && errno == EINTR);
    return rv == 0 ? 0 : errno;
}

static int
status_of(int error)
{
    switch (error) {
    case EWOULDBLOCK: return NMQ_ECLOSED;
    case EACCES:
    case EPERM:
    case EROFS: return NMQ_EACCESS;
    case ENOENT:
    case ENOTDIR: return NMQ_ENOENT;
    case EDQUOT:
    case ENOSPC: return NMQ_ENOSPC;
    default: return NMQ_EIO;
    }
}

// Opens the folder in that way, as nmq_disk_folder_open.
static int
open_as(const nmq_disk_ops *as, int (*how)(folder *f, const char *path), const char *path,
        folder **out, int *error)
{
    folder *f = nmq_zalloc(sizeof *f);

    if (f == NULL) {
        return NMQ_ENOMEM;
    }
    *f = (folder){.base.ops = as, .folder = -1, .lock = -1};
    *error = how(f, path);
    if (*error != 0) {
        nmq_disk_folder_close(&f->base);
        return status_of(*error);
    }
    *out = f;
    return NMQ_OK;
}

int
nmq_disk_folder_open(const char *path, nmq_disk **out, int *error)
{
    folder *f;
    int rv = open_as(&ops, open_folder, path, &f, error);

    if (rv == NMQ_OK) {
        *out = &f->base;
    }
    return rv;
}

int
nmq_disk_folder_look(const char *path, nmq_disk **out, bool *in_use, int *error)
{
    folder *f;
    int rv = open_as(&read_ops, open_to_read, path, &f, error);

    if (rv == NMQ_OK) {
        *in_use = is_in_use(f);
        *out = &f->base;
    }
    return rv;
}

void
nmq_disk_folder_close(nmq_disk *disk)
{
    if (disk != NULL) {
        folder *f = (folder *) (void *) disk;
        const int fds[] = {f->lock, f->folder};
        for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
            if (fds[i] >= 0) {
                (void) close(fds[i]);
            }
        }
        nmq_free(f);
    }
}
