#include "store/wal_walk.h"

#include "base/status.h"

typedef struct {
    nmq_wal_walk *walk;
    nmq_wal_reader reader;
    nmq_wal_block block; // the latest
    bool chained;        // block counts: the next one must follow it
} walker;

// Whether the block is of this file and of this store.
static bool
is_ours(const walker *w, const nmq_wal_block *block)
{
    return block->segment == w->reader.segments->at[w->reader.index].number &&
           (w->walk->store == 0 || block->store == w->walk->store);
}

static bool
follows(const walker *w, const nmq_wal_block *block)
{
    const nmq_wal_block *before = &w->block;

    return is_ours(w, block) &&
           (!w->chained || (block->before == before->crc &&
                            block->sequence == before->sequence + before->last &&
                            block->part == (before->last ? 0 : before->part + 1)));
}

// The commit of which the next block would be; 0: any.
static uint64_t
expected(const walker *w)
{
    return w->walk->store != 0 ? w->walk->sequence + w->block.last : 0;
}

static int
take(walker *w, const nmq_wal_block *block, const uint8_t *bytes)
{
    if (block->format > NMQ_WAL_FORMAT) {
        return NMQ_ENEWER;
    }
    w->block = *block;
    w->chained = true;
    w->walk->store = block->store;
    w->walk->sequence = block->sequence;
    return w->walk->block(w->walk->arg, block, bytes, &w->reader);
}

static void
note_damage(walker *w, uint32_t segment, uint64_t at, const nmq_wal_block *next)
{
    nmq_wal_walk *walk = w->walk;

    if (walk->damaged++ == 0) {
        walk->bad_segment = segment;
        walk->bad_at = at;
        walk->next_segment = next->segment;
        walk->next_at = w->reader.at;
        walk->next_sequence = next->sequence;
    }
}

// Whether a head of what the next block would be lies there: its bytes are torn.
static bool
is_torn(const walker *w, const nmq_wal_block *block)
{
    return w->chained && is_ours(w, block) && block->sequence >= w->block.sequence;
}

// No block follows here. Looks for one of a later commit. Returns NMQ_OK: there is none,
// and the reader is at the end; 1: the reader is at it; or an error.
static int
look_behind(walker *w)
{
    uint64_t least = expected(w);
    uint32_t bad_segment = w->reader.segments->at[w->reader.index].number;
    uint64_t bad_at = w->reader.at;
    nmq_wal_block block;
    const uint8_t *bytes;

    while (!nmq_wal_reader_is_at_end(&w->reader)) {
        int rv = nmq_wal_reader_look(&w->reader, &block, &bytes);
        if (rv < 0) {
            return rv;
        }
        if (rv > 0 && is_ours(w, &block) && block.sequence > least) {
            note_damage(w, bad_segment, bad_at, &block);
            w->walk->lost += least != 0 ? block.sequence - least : 0;
            w->chained = false;
            return w->walk->skip ? 1 : NMQ_ECORRUPT;
        }
        nmq_wal_reader_pass(&w->reader, NMQ_WAL_PAGE_BYTES);
    }
    return NMQ_OK;
}

static int
walk_on(walker *w)
{
    nmq_wal_block block;
    const uint8_t *bytes;

    while (!nmq_wal_reader_is_at_end(&w->reader)) {
        int rv = nmq_wal_reader_look(&w->reader, &block, &bytes);
        if (rv > 0 && follows(w, &block)) {
            rv = take(w, &block, bytes);
            nmq_wal_reader_pass(&w->reader, nmq_wal_block_span(block.len));
        } else if (rv >= 0) {
            w->walk->torn = is_torn(w, &block);
            rv = look_behind(w);
        }
        if (rv < 0) {
            return rv;
        }
    }
    return NMQ_OK;
}

int
nmq_wal_walk_run(nmq_wal_walk *walk)
{
    walker w = {.walk = walk, .reader.segments = walk->segments};
    nmq_wal_reader_pass(&w.reader, 0);
    int rv = walk_on(&w);

    walk->torn = walk->torn || (w.chained && !w.block.last);
    nmq_wal_reader_fini(&w.reader);
    return rv;
}
