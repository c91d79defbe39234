#include "store/wal_recover.h"

#include <sys/random.h>

#include "base/status.h"
#include "store/wal_walk.h"

// --- commits

// A commit of which blocks come.
typedef struct {
    nmq_wal_commit_fn *fn; // NULL: nobody asks
    void *arg;
    nmq_buf bytes;     // so far, where one block does not have all of them
    uint64_t sequence; // of it, if it is whole so far; 0: it is not
} gatherer;

// Takes the next block. Returns what fn has for a commit that is whole now, or NMQ_OK or
// NMQ_ENOMEM.
static int
gather(gatherer *g, const nmq_wal_block *block, const uint8_t *bytes)
{
    nmq_bytes all = {bytes, block->len};

    if (block->part == 0) {
        g->bytes.len = 0;
        g->sequence = block->sequence;
    } else if (g->sequence != block->sequence) {
        g->sequence = 0; // its beginning is lost
    }
    if (g->sequence == 0 || g->fn == NULL) {
        return NMQ_OK;
    }
    if (block->part != 0 || !block->last) {
        if (nmq_buf_put(&g->bytes, all) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        all = (nmq_bytes){g->bytes.at, g->bytes.len};
    }
    return block->last ? g->fn(g->arg, block->sequence, all) : NMQ_OK;
}

// --- opening

// The end of the log as far as it has been walked.
typedef struct {
    nmq_wal *wal;
    uint64_t first; // the first commit that is whole; 0: none yet
    gatherer commit;
} opener;

// nmq_wal_walk.block
static int
note_block(void *arg, const nmq_wal_block *block, const uint8_t *bytes,
           const nmq_wal_reader *at)
{
    opener *o = arg;
    nmq_wal *wal = o->wal;
    int rv = gather(&o->commit, block, bytes);

    if (wal->segments.at[at->index].begins == 0) {
        wal->segments.at[at->index].begins = block->sequence + (block->part != 0);
    }
    if (block->last && o->commit.sequence != 0) {
        o->first = o->first != 0 ? o->first : block->sequence;
        wal->active = at->index;
        wal->at = at->at + nmq_wal_block_span(block->len);
        wal->store = block->store;
        wal->sequence = block->sequence + 1;
        wal->before = block->crc;
        wal->from = wal->safe_from = block->from;
        wal->wall_ms = block->wall_ms;
    }
    return rv;
}

// A file of which nothing is left says as much as the next one.
static void
fill_gaps(nmq_wal *wal)
{
    for (uint32_t i = wal->active; i > 0; i--) {
        nmq_wal_segment *one = &wal->segments.at[i - 1];
        one->begins = one->begins != 0 ? one->begins : one[1].begins;
    }
}

static void
begin_store(nmq_wal *wal)
{
    (void) getrandom(&wal->store, sizeof wal->store, 0);
    wal->store |= 1; // 0: none
    wal->sequence = wal->from = wal->safe_from = 1;
}

static void
report(const nmq_wal_walk *walk, const nmq_wal *wal, nmq_wal_found *found)
{
    found->damaged = walk->damaged;
    found->bad_segment = walk->bad_segment;
    found->bad_at = walk->bad_at;
    found->next_segment = walk->next_segment;
    found->next_at = walk->next_at;
    found->next_sequence = walk->next_sequence;
    found->lost = walk->lost;
    if (walk->torn) {
        const nmq_wal_segment *active = &wal->segments.at[wal->active];
        bool is_next = wal->at == active->bytes && wal->active + 1 < wal->segments.count;
        found->torn_segment = active[is_next].number;
        found->torn_at = is_next ? 0 : wal->at;
    }
}

static int
find_end(nmq_wal *wal, const nmq_wal_options *options, nmq_wal_found *found)
{
    opener o = {.wal = wal, .commit = {.fn = options->ahead, .arg = options->ahead_arg}};
    nmq_wal_walk walk = {
        .segments = &wal->segments, .block = note_block, .arg = &o, .skip = options->skip};
    int rv = nmq_wal_walk_run(&walk);

    nmq_buf_free(&o.commit.bytes);
    report(&walk, wal, found);
    fill_gaps(wal);
    bool is_cut = o.first != 0 ? o.first > wal->from : walk.sequence > 1;
    if (options->skip && o.first > wal->from) {
        found->lost += o.first - wal->from;
    }
    if (rv == NMQ_OK && is_cut && !options->skip) {
        found->missing = wal->segments.at[0].number - 1;
        return NMQ_ECORRUPT;
    }
    return rv;
}

int
nmq_wal_open(nmq_wal *wal, nmq_disk *disk, const nmq_wal_options *options,
             nmq_wal_found *found)
{
    *found = (nmq_wal_found){0};
    *wal = (nmq_wal){.file = -1,
                     .segments = {.disk = disk,
                                  .segment_bytes = options->segment_bytes,
                                  .bytes_max = options->bytes_max}};
    int rv = nmq_wal_segments_find(&wal->segments, &found->missing);
    if (rv == NMQ_OK || (rv == NMQ_ENOENT && options->skip)) {
        rv = find_end(wal, options, found);
    }
    if (rv == NMQ_OK && wal->store == 0) {
        begin_store(wal);
    }
    return rv == NMQ_ENOENT ? NMQ_ECORRUPT : rv;
}

// --- replay

typedef struct {
    nmq_wal *wal;
    gatherer commit;
} replayer;

// nmq_wal_walk.block
static int
replay_block(void *arg, const nmq_wal_block *block, const uint8_t *bytes,
             const nmq_wal_reader *at)
{
    replayer *r = arg;

    (void) at;
    if (block->sequence < r->wal->from || block->sequence >= r->wal->sequence) {
        return NMQ_OK;
    }
    r->wal->wall_ms = block->wall_ms;
    return gather(&r->commit, block, bytes);
}

int
nmq_wal_replay(nmq_wal *wal, bool skip, nmq_wal_commit_fn *fn, void *arg)
{
    replayer r = {.wal = wal, .commit = {.fn = fn, .arg = arg}};
    nmq_wal_walk walk = {
        .segments = &wal->segments, .block = replay_block, .arg = &r, .skip = skip};
    int rv = nmq_wal_walk_run(&walk);

    nmq_buf_free(&r.commit.bytes);
    return rv;
}
