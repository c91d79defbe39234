// disk.h - what a log needs of a folder, as a table of functions: tests have a disk of
// their own, which fails, forgets and tears.
//
//     open ──> write, write ... ──sync──> those are safe
//     rename, remove, open(make) ──sync_names──> so are those
//
// A write is safe once a sync after it has returned 0; until then a cut of the power leaves
// any part of it. After a sync that has failed nobody knows what is safe: whoever called it
// must not go on with that file. A rename is whole or not there at all.
//
// Owner    who opens a file closes it.
// Threads  one thread at a time.
#pragma once
#include "base/bytes.h"

typedef struct nmq_disk nmq_disk;

// Each returns 0, or the errno of the system.
typedef struct {
    // Calls fn with the name of each file.
    int (*list)(nmq_disk *disk, void (*fn)(void *arg, const char *name), void *arg);
    // make: the file is made, empty, in place of one of that name.
    int (*open)(nmq_disk *disk, const char *name, bool make, int *file);
    int (*size)(nmq_disk *disk, int file, uint64_t *bytes);
    // All of those bytes; EIO where the file ends before them.
    int (*read)(nmq_disk *disk, int file, uint64_t at, uint8_t *to, size_t len);
    // All of the parts, one behind the other: 1 to NMQ_DISK_PARTS_MAX.
    int (*write)(nmq_disk *disk, int file, uint64_t at, const nmq_bytes *parts, int count);
    int (*sync)(nmq_disk *disk, int file);
    void (*close)(nmq_disk *disk, int file);
    int (*rename)(nmq_disk *disk, const char *from, const char *to);
    int (*remove)(nmq_disk *disk, const char *name);
    int (*sync_names)(nmq_disk *disk);
    // Keeps readers out while files are removed or renamed, and lets them in again. Returns
    // EWOULDBLOCK while one reads: then none is to go.
    int (*claim)(nmq_disk *disk, bool claims);
} nmq_disk_ops;

enum { NMQ_DISK_PARTS_MAX = 4 };

// Embedded in what implements it.
struct nmq_disk {
    const nmq_disk_ops *ops;
};
