#include "store/wal.h"

#include <errno.h>

#include "base/status.h"
#include "store/wal_block.h"

static const uint8_t zeros[NMQ_WAL_PAGE_BYTES];

// Of one block: bytes at most, and bytes that head and zeros take at most.
enum {
    PIECE_BYTES = NMQ_WAL_BLOCK_BYTES - NMQ_WAL_HEAD_BYTES,
    EXTRA_BYTES = NMQ_WAL_PAGE_BYTES + NMQ_WAL_HEAD_BYTES,
};

// Nothing that this log holds counts from here on but what was safe before.
static int
fail(nmq_wal *wal, int error)
{
    wal->failed = true;
    wal->segments.error = error != 0 ? error : wal->segments.error;
    return NMQ_EIO;
}

static void
close_file(nmq_wal *wal)
{
    if (wal->file >= 0) {
        wal->segments.disk->ops->close(wal->segments.disk, wal->file);
        wal->file = -1;
    }
}

static int
open_file(nmq_wal *wal)
{
    char name[NMQ_WAL_NAME_BYTES];

    if (wal->file >= 0) {
        return 0;
    }
    nmq_wal_segment_name(wal->segments.at[wal->active].number, name);
    return wal->segments.disk->ops->open(wal->segments.disk, name, false, &wal->file);
}

// --- room

// Bytes behind the end of the log in the segments that there are.
static uint64_t
ahead(const nmq_wal *wal)
{
    const nmq_wal_segments *all = &wal->segments;
    uint64_t bytes = all->count > 0 ? all->at[wal->active].bytes - wal->at : 0;

    for (uint32_t i = wal->active + 1; i < all->count; i++) {
        bytes += all->at[i].bytes;
    }
    return bytes;
}

uint64_t
nmq_wal_used(const nmq_wal *wal)
{
    uint64_t bytes = wal->at;

    for (uint32_t i = 0; i < wal->active; i++) {
        bool is_needed = wal->segments.at[i + 1].begins > wal->safe_from;
        bytes += is_needed ? wal->segments.at[i].bytes : 0; // else a reader holds it
    }
    return bytes;
}

// What so many bytes take at most, where segments end `ends` times meanwhile.
static uint64_t
span_of(uint64_t len, uint64_t ends)
{
    return len + (len / PIECE_BYTES + 1 + ends) * EXTRA_BYTES;
}

// Bytes that may be appended before there are so many more segments, and they are full.
static uint64_t
room_with(const nmq_wal *wal, uint64_t more)
{
    uint64_t room = ahead(wal) + more * wal->segments.segment_bytes;
    uint64_t ends = wal->segments.count - wal->active + more;
    uint64_t extra = span_of(room, ends) - room;

    return room > extra ? room - extra : 0;
}

uint64_t
nmq_wal_room(const nmq_wal *wal)
{
    return room_with(wal, nmq_wal_segments_room(&wal->segments));
}

uint64_t
nmq_wal_ahead(const nmq_wal *wal)
{
    return room_with(wal, 0);
}

int
nmq_wal_reserve(nmq_wal *wal, uint64_t len)
{
    nmq_wal_segments *all = &wal->segments;

    while (ahead(wal) < span_of(len, all->count - wal->active)) {
        int rv = nmq_wal_segments_add(all);
        if (rv != NMQ_OK) {
            return rv == NMQ_EIO ? fail(wal, 0) : rv;
        }
    }
    return NMQ_OK;
}

// --- append

// A commit that is being written.
typedef struct {
    nmq_bytes left;
    nmq_wal_block block; // of its next piece
} writer;

// Makes safe what was written to the active segment.
static int
sync_file(nmq_wal *wal)
{
    return wal->segments.disk->ops->sync(wal->segments.disk, wal->file);
}

// Goes to the next segment if the active one is full. Returns 0 or an errno.
static int
go_on(nmq_wal *wal, const writer *w)
{
    int error = 0;

    while (wal->at == wal->segments.at[wal->active].bytes && error == 0) {
        bool begins = w->block.part == 0;
        error = begins || wal->file < 0 ? 0 : sync_file(wal);
        close_file(wal);
        wal->active++;
        wal->at = 0;
        wal->segments.at[wal->active].begins = w->block.sequence + !begins;
    }
    return error == 0 ? open_file(wal) : error;
}

// Writes as much as goes into one block. Returns 0 or an errno.
static int
write_piece(nmq_wal *wal, writer *w)
{
    nmq_disk *disk = wal->segments.disk;
    const nmq_wal_segment *segment = &wal->segments.at[wal->active];
    uint64_t room = segment->bytes - wal->at - NMQ_WAL_HEAD_BYTES;
    uint8_t head[NMQ_WAL_HEAD_BYTES];
    nmq_wal_block *block = &w->block;

    room = room < PIECE_BYTES ? room : PIECE_BYTES;
    block->len = (uint32_t) (w->left.len < room ? w->left.len : room);
    block->last = block->len == w->left.len;
    block->segment = segment->number;
    block->before = wal->before;
    nmq_wal_block_seal(block, w->left.at, head);
    size_t span = nmq_wal_block_span(block->len);
    const nmq_bytes parts[] = {{head, sizeof head},
                               {w->left.at, block->len},
                               {zeros, span - sizeof head - block->len}};
    int error = disk->ops->write(disk, wal->file, wal->at, parts, 3);
    wal->before = block->crc;
    wal->at += span;
    w->left = (nmq_bytes){w->left.at + block->len, w->left.len - block->len};
    block->part++;
    return error;
}

int
nmq_wal_append(nmq_wal *wal, nmq_bytes commit, int64_t wall_ms)
{
    writer w = {.left = commit,
                .block = {.store = wal->store,
                          .sequence = wal->sequence,
                          .from = wal->from,
                          .wall_ms = wall_ms}};
    int rv = wal->failed ? NMQ_EIO : nmq_wal_reserve(wal, commit.len);

    if (rv != NMQ_OK) {
        return rv;
    }
    do {
        int error = go_on(wal, &w);
        error = error == 0 ? write_piece(wal, &w) : error;
        if (error != 0) {
            return fail(wal, error);
        }
    } while (!w.block.last);
    int error = sync_file(wal);
    if (error != 0) {
        return fail(wal, error);
    }
    wal->sequence++;
    wal->safe_from = w.block.from;
    wal->wall_ms = wall_ms;
    return NMQ_OK;
}

// --- what is needed no more

void
nmq_wal_keep_from(nmq_wal *wal, uint64_t sequence)
{
    wal->from = sequence > wal->from ? sequence : wal->from;
}

// Whether a segment is to be made.
static bool
needs_spare(const nmq_wal *wal)
{
    uint64_t least = wal->spare != 0 ? wal->spare : wal->segments.segment_bytes / 2;

    return ahead(wal) < least;
}

// Whether nothing of the first segment is needed.
static bool
first_is_free(const nmq_wal *wal)
{
    return wal->active > 0 && wal->segments.at[1].begins <= wal->safe_from;
}

// Frees what is not needed, unless somebody reads the files. Returns NMQ_OK or NMQ_EIO.
static int
free_some(nmq_wal *wal)
{
    nmq_wal_segments *all = &wal->segments;
    int rv = NMQ_OK;

    if (!first_is_free(wal) || all->disk->ops->claim(all->disk, true) == EWOULDBLOCK) {
        return NMQ_OK;
    }
    while (rv == NMQ_OK && first_is_free(wal)) {
        bool is_spare = wal->active + 1 == all->count || needs_spare(wal) ||
                        nmq_wal_segments_bytes(all) <= wal->kept;
        rv = nmq_wal_segments_free_first(all, is_spare &&
                                                  all->at[0].bytes == all->segment_bytes);
        wal->active -= rv == NMQ_OK;
    }
    (void) all->disk->ops->claim(all->disk, false);
    return rv;
}

int
nmq_wal_tidy(nmq_wal *wal)
{
    nmq_wal_segments *all = &wal->segments;
    int rv = wal->failed ? NMQ_EIO : free_some(wal);

    if (rv == NMQ_OK && needs_spare(wal)) {
        rv = nmq_wal_segments_add(all);
    }
    return rv == NMQ_EIO ? fail(wal, 0) : rv;
}

void
nmq_wal_close(nmq_wal *wal)
{
    close_file(wal);
    nmq_wal_segments_fini(&wal->segments);
}
