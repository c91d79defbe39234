#include "store/wal_segments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "store/wal_block.h"

enum { ZEROS_BYTES = 256 * 1024, FIRST_CAP = 16 };

static const uint8_t zeros[ZEROS_BYTES];
static const char *const half_made = "new.seg";

void
nmq_wal_segment_name(uint32_t number, char out[NMQ_WAL_NAME_BYTES])
{
    (void) snprintf(out, NMQ_WAL_NAME_BYTES, "%06u.seg", (unsigned) number);
}

// Returns the number of a file of that name; 0: it is none.
static uint32_t
number_of(const char *name)
{
    char whole[NMQ_WAL_NAME_BYTES];
    unsigned long number = strtoul(name, NULL, 10);

    if (number == 0 || number > UINT32_MAX) {
        return 0;
    }
    nmq_wal_segment_name((uint32_t) number, whole);
    return strcmp(name, whole) == 0 ? (uint32_t) number : 0;
}

static int
failed(nmq_wal_segments *all, int error)
{
    if (error != 0) {
        all->error = error;
    }
    return error == 0 ? NMQ_OK : error == ENOSPC || error == EDQUOT ? NMQ_ENOSPC : NMQ_EIO;
}

static int
append(nmq_wal_segments *all, uint32_t number, uint64_t bytes)
{
    nmq_wal_segment *grown =
        nmq_vec_grow(all->at, &all->cap, all->count + (size_t) 1, FIRST_CAP, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    all->at = grown;
    all->at[all->count++] = (nmq_wal_segment){.number = number, .bytes = bytes};
    return NMQ_OK;
}

// --- finding them

typedef struct {
    nmq_wal_segments *all;
    int rv;
} finder;

static void
note_file(void *arg, const char *name)
{
    finder *f = arg;
    uint32_t number = number_of(name);

    if (number != 0 && f->rv == NMQ_OK) {
        f->rv = append(f->all, number, 0);
    }
}

static int
by_number(const void *a, const void *b)
{
    const nmq_wal_segment *x = a;
    const nmq_wal_segment *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static int
find_size(nmq_wal_segments *all, nmq_wal_segment *segment)
{
    const nmq_disk_ops *ops = all->disk->ops;
    char name[NMQ_WAL_NAME_BYTES];
    int file;

    nmq_wal_segment_name(segment->number, name);
    int error = ops->open(all->disk, name, false, &file);
    if (error == 0) {
        error = ops->size(all->disk, file, &segment->bytes);
        ops->close(all->disk, file);
        segment->bytes -= segment->bytes % NMQ_WAL_PAGE_BYTES;
    }
    return failed(all, error) == NMQ_OK ? NMQ_OK : NMQ_EIO;
}

int
nmq_wal_segments_find(nmq_wal_segments *all, uint32_t *missing)
{
    const nmq_disk_ops *ops = all->disk->ops;
    finder f = {.all = all};
    int error = ops->remove(all->disk, half_made);

    error = error == ENOENT || error == EROFS ? 0 : error; // who only reads, lets it lie
    error = error == 0 ? ops->list(all->disk, note_file, &f) : error;
    if (error != 0 || f.rv != NMQ_OK) {
        (void) failed(all, error);
        return error != 0 ? NMQ_EIO : f.rv;
    }
    if (all->count > 0) {
        qsort(all->at, all->count, sizeof *all->at, by_number);
    }
    for (uint32_t i = 0; i < all->count; i++) {
        if (i > 0 && all->at[i].number != all->at[i - 1].number + 1 && *missing == 0) {
            *missing = all->at[i - 1].number + 1;
        }
        int rv = find_size(all, &all->at[i]);
        if (rv != NMQ_OK) {
            return rv;
        }
    }
    return *missing == 0 ? NMQ_OK : NMQ_ENOENT;
}

void
nmq_wal_segments_fini(nmq_wal_segments *all)
{
    nmq_free(all->at);
    all->at = NULL;
    all->count = all->cap = 0;
}

// --- making and freeing

// Writes zeros over a whole new file, and makes them safe. Returns 0 or an errno.
static int
fill(nmq_disk *disk, int file, uint64_t bytes)
{
    int error = 0;

    for (uint64_t at = 0; at < bytes && error == 0; at += ZEROS_BYTES) {
        uint64_t left = bytes - at;
        const nmq_bytes part = {zeros, left < ZEROS_BYTES ? (size_t) left : ZEROS_BYTES};
        error = disk->ops->write(disk, file, at, &part, 1);
    }
    return error == 0 ? disk->ops->sync(disk, file) : error;
}

// Returns 0 or an errno.
static int
make(nmq_wal_segments *all, uint32_t number)
{
    const nmq_disk_ops *ops = all->disk->ops;
    char name[NMQ_WAL_NAME_BYTES];
    int file;
    int error = ops->open(all->disk, half_made, true, &file);

    if (error != 0) {
        return error;
    }
    error = fill(all->disk, file, all->segment_bytes);
    ops->close(all->disk, file);
    if (error == 0) {
        nmq_wal_segment_name(number, name);
        error = ops->rename(all->disk, half_made, name);
    }
    if (error != 0) {
        (void) ops->remove(all->disk, half_made); // the next one may find room
        return error;
    }
    return ops->sync_names(all->disk);
}

uint64_t
nmq_wal_segments_bytes(const nmq_wal_segments *all)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < all->count; i++) {
        bytes += all->at[i].bytes;
    }
    return bytes;
}

uint64_t
nmq_wal_segments_room(const nmq_wal_segments *all)
{
    uint64_t bytes = nmq_wal_segments_bytes(all);
    uint64_t most = NMQ_LIVE(all->bytes_max);

    return bytes < most ? (most - bytes) / all->segment_bytes : 0;
}

int
nmq_wal_segments_add(nmq_wal_segments *all)
{
    uint32_t number = all->count > 0 ? all->at[all->count - 1].number + 1 : 1;

    if (nmq_wal_segments_room(all) == 0) {
        return NMQ_ENOSPC;
    }
    int rv = append(all, number, all->segment_bytes); // before there is anything to undo
    if (rv == NMQ_OK && (rv = failed(all, make(all, number))) != NMQ_OK) {
        all->count--;
    }
    return rv;
}

int
nmq_wal_segments_free_first(nmq_wal_segments *all, bool reuse)
{
    const nmq_disk_ops *ops = all->disk->ops;
    nmq_wal_segment first = all->at[0];
    char from[NMQ_WAL_NAME_BYTES];
    char to[NMQ_WAL_NAME_BYTES];

    nmq_wal_segment_name(first.number, from);
    first.number = all->at[all->count - 1].number + 1;
    nmq_wal_segment_name(first.number, to);
    int error = reuse ? ops->rename(all->disk, from, to) : ops->remove(all->disk, from);
    // one after the other, so that a cut never leaves a gap
    error = error == 0 ? ops->sync_names(all->disk) : error;
    if (error != 0) {
        (void) failed(all, error);
        return NMQ_EIO;
    }
    memmove(all->at, all->at + 1, (all->count - 1) * sizeof *all->at);
    all->at[all->count - 1] = first;
    all->count -= !reuse;
    return NMQ_OK;
}
