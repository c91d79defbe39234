#include "store/wal_look.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "store/disk_folder.h"
#include "store/journal_record.h"
#include "store/wal_block.h"
#include "store/wal_recover.h"
#include "store/wal_walk.h"

enum { LENGTH_BYTES = 4, FIRST_CAP = 16 };

struct nmq_wal_look {
    nmq_disk *disk;
    nmq_wal wal;
    nmq_wal_look_facts facts;
    nmq_wal_look_segment *segments;
    nmq_wal_look_damage *damages;
    uint32_t damage_cap;
    // the walk
    nmq_wal_block before; // the last block
    uint32_t index;       // where the next one is expected: a place among the files
    uint64_t at;
};

// --- blocks

// Goes to the next file with a page, as the walk does.
static void
pass_ends(nmq_wal_look *look)
{
    const nmq_wal_segments *all = &look->wal.segments;

    while (look->index < all->count &&
           look->at + NMQ_WAL_PAGE_BYTES > all->at[look->index].bytes) {
        bool gap = look->index + 1 < all->count &&
                   all->at[look->index + 1].number != all->at[look->index].number + 1;
        if (gap) {
            return;
        }
        look->index++;
        look->at = 0;
    }
}

// The place where a block is expected is at the end of a file, and the next one is missing.
static bool
is_missing(const nmq_wal_look *look)
{
    const nmq_wal_segments *all = &look->wal.segments;

    return look->index < all->count &&
           look->at + NMQ_WAL_PAGE_BYTES > all->at[look->index].bytes;
}

static int
note_damage(nmq_wal_look *look, const nmq_wal_look_damage *damage)
{
    nmq_wal_look_damage *grown =
        nmq_vec_grow(look->damages, &look->damage_cap, (size_t) look->facts.damages + 1,
                     FIRST_CAP, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    look->damages = grown;
    look->damages[look->facts.damages++] = *damage;
    return NMQ_OK;
}

// The block is not the one that was expected there.
static int
note_jump(nmq_wal_look *look, const nmq_wal_block *block, const nmq_wal_reader *at)
{
    const nmq_wal_segments *all = &look->wal.segments;
    bool missing = is_missing(look);
    uint32_t number = look->index < all->count ? all->at[look->index].number : 0;

    return note_damage(look, &(nmq_wal_look_damage){
                                 .after = look->before.sequence,
                                 .segment = number + missing,
                                 .at = missing ? 0 : look->at,
                                 .is_missing = missing,
                                 .next_segment = block->segment,
                                 .next_at = at->at,
                                 .next_sequence = block->sequence,
                             });
}

static bool
is_expected(const nmq_wal_look *look, const nmq_wal_block *block, const nmq_wal_reader *at)
{
    const nmq_wal_block *before = &look->before;

    return at->index == look->index && at->at == look->at &&
           (before->sequence == 0 || (block->before == before->crc &&
                                      block->sequence == before->sequence + before->last));
}

// nmq_wal_walk.block
static int
note_block(void *arg, const nmq_wal_block *block, const uint8_t *bytes,
           const nmq_wal_reader *at)
{
    nmq_wal_look *look = arg;
    nmq_wal_look_segment *segment = &look->segments[at->index];
    int rv = is_expected(look, block, at) ? NMQ_OK : note_jump(look, block, at);

    (void) bytes;
    if (look->before.sequence == 0) {
        look->facts.first_ms = block->wall_ms;
    }
    segment->blocks++;
    segment->first = segment->first != 0 ? segment->first : block->sequence;
    segment->last = block->sequence;
    look->before = *block;
    look->index = at->index;
    look->at = at->at + nmq_wal_block_span(block->len);
    pass_ends(look);
    return rv;
}

// The commits before the first one that is there were needed, too.
static int
note_cut(nmq_wal_look *look)
{
    const nmq_wal *wal = &look->wal;
    const nmq_wal_look_facts *facts = &look->facts;
    uint32_t number = wal->segments.count > 0 ? wal->segments.at[0].number : 1;

    if (facts->first == 0 || facts->first <= wal->from || number == 1) {
        return NMQ_OK;
    }
    return note_damage(look, &(nmq_wal_look_damage){.segment = number - 1,
                                                    .is_missing = true,
                                                    .next_segment = number,
                                                    .next_sequence = facts->first});
}

static bool
has_damage(const nmq_wal_look *look, uint32_t segment)
{
    for (uint32_t i = 0; i < look->facts.damages; i++) {
        if (look->damages[i].segment == segment) {
            return true;
        }
    }
    return false;
}

// A file is missing, and nothing of this log lies behind it: no broker goes on from there.
static int
note_gap(nmq_wal_look *look, uint32_t missing)
{
    const nmq_wal_segments *all = &look->wal.segments;
    uint32_t i = 0;

    if (missing == 0 || has_damage(look, missing)) {
        return NMQ_OK;
    }
    while (i < all->count && all->at[i].number < missing) {
        i++;
    }
    return note_damage(look, &(nmq_wal_look_damage){
                                 .after = look->before.sequence,
                                 .segment = missing,
                                 .is_missing = true,
                                 .next_segment = i < all->count ? all->at[i].number : 0,
                             });
}

static int
walk(nmq_wal_look *look)
{
    nmq_wal_walk how = {
        .segments = &look->wal.segments, .block = note_block, .arg = look, .skip = true};

    pass_ends(look);
    int rv = nmq_wal_walk_run(&how);
    look->facts.torn = how.torn;
    return rv;
}

// --- commits and records

// Counts its records. Returns whether it is a run of them.
static bool
count_records(nmq_wal_look_facts *facts, nmq_bytes commit)
{
    while (commit.len > LENGTH_BYTES) {
        uint32_t length = nmq_journal_u32_at(commit.at);
        if (length == 0 || length > commit.len - LENGTH_BYTES) {
            return false;
        }
        facts->records++;
        facts->kinds[commit.at[LENGTH_BYTES]]++;
        commit.at += LENGTH_BYTES + length;
        commit.len -= LENGTH_BYTES + length;
    }
    return commit.len == 0;
}

// nmq_wal_commit_fn
static int
note_commit(void *arg, uint64_t sequence, nmq_bytes commit)
{
    nmq_wal_look_facts *facts = arg;

    facts->first = facts->first != 0 ? facts->first : sequence;
    facts->last = sequence;
    facts->commits++;
    facts->bytes += commit.len;
    facts->malformed += !count_records(facts, commit);
    return NMQ_OK;
}

void *
nmq_wal_look_log(nmq_wal_look *look)
{
    return &look->wal;
}

// --- all of it

static int
make_segments(nmq_wal_look *look)
{
    const nmq_wal_segments *all = &look->wal.segments;

    look->segments = nmq_zalloc((all->count + (size_t) 1) * sizeof *look->segments);
    if (look->segments == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < all->count; i++) {
        look->segments[i] =
            (nmq_wal_look_segment){.number = all->at[i].number, .bytes = all->at[i].bytes};
    }
    look->facts.segments = all->count;
    return NMQ_OK;
}

static void
tell_end(nmq_wal_look *look)
{
    const nmq_wal *wal = &look->wal;
    nmq_wal_look_facts *facts = &look->facts;

    facts->oldest = wal->from;
    facts->last_ms = wal->wall_ms;
    facts->used = nmq_wal_used(wal);
    if (wal->sequence > 1 && wal->segments.count > 0) {
        facts->store = wal->store;
        facts->end_segment = wal->segments.at[wal->active].number;
        facts->end_at = wal->at;
    }
}

static int
look_over(nmq_wal_look *look)
{
    const nmq_wal_options options = {.segment_bytes = 1 << 20, .skip = true};
    nmq_wal_found found;
    int rv = nmq_wal_open(&look->wal, look->disk, &options, &found);

    rv = rv == NMQ_OK ? make_segments(look) : rv;
    rv = rv == NMQ_OK ? walk(look) : rv;
    rv = rv == NMQ_OK ? nmq_wal_replay(&look->wal, true, note_commit, &look->facts) : rv;
    if (rv == NMQ_OK) {
        tell_end(look);
        rv = note_cut(look);
        rv = rv == NMQ_OK ? note_gap(look, found.missing) : rv;
    }
    return rv;
}

int
nmq_wal_look_open(const char *folder, nmq_wal_look **out, int32_t *error)
{
    nmq_wal_look *look = nmq_zalloc(sizeof *look);

    if (look == NULL) {
        return NMQ_ENOMEM;
    }
    look->wal.file = -1;
    int rv = nmq_disk_folder_look(folder, &look->disk, &look->facts.in_use, error);
    if (rv == NMQ_OK) {
        rv = look_over(look);
        *error = look->wal.segments.error;
    }
    if (rv != NMQ_OK) {
        nmq_wal_look_close(look);
        return rv;
    }
    *out = look;
    return NMQ_OK;
}

void
nmq_wal_look_close(nmq_wal_look *look)
{
    if (look != NULL) {
        nmq_wal_close(&look->wal);
        nmq_disk_folder_close(look->disk);
        nmq_free(look->segments);
        nmq_free(look->damages);
        nmq_free(look);
    }
}

const nmq_wal_look_facts *
nmq_wal_look_at(const nmq_wal_look *look)
{
    return &look->facts;
}

const nmq_wal_look_segment *
nmq_wal_look_segment_at(const nmq_wal_look *look, uint32_t index)
{
    return &look->segments[index];
}

const nmq_wal_look_damage *
nmq_wal_look_damage_at(const nmq_wal_look *look, uint32_t index)
{
    return &look->damages[index];
}
