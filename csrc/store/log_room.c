#include "store/log_room.h"

enum { PARTS = 8 };

enum {
    RETRY_MS = 100,
    RETRY_MAX_MS = 10000,   // making a segment on a full disk writes what there is room for
    LEAST_ROOM = 64 * 1024, // less is none
};

#define NS_OF_MS INT64_C(1000000)

static uint64_t
segments(const nmq_log_room *room, unsigned count)
{
    return count * room->wal->segments.segment_bytes;
}

void
nmq_log_room_init(nmq_log_room *room, nmq_wal *wal, nmq_journal *journal,
                  uint64_t bytes_max)
{
    *room = (nmq_log_room){.wal = wal,
                           .journal = journal,
                           .bytes_max = bytes_max,
                           .in_epochs = nmq_wal_used(wal) == 0};
    wal->spare = segments(room, NMQ_LOG_ROOM_RESERVE);
}

uint32_t
nmq_log_room_longer(uint32_t ms)
{
    return ms == 0 ? RETRY_MS : ms < RETRY_MAX_MS / 2 ? 2 * ms : RETRY_MAX_MS;
}

int64_t
nmq_log_room_due_ns(const nmq_log_room *room)
{
    return room->look_ms != 0 ? room->look_ns : INT64_MAX;
}

// What is live, as far as is known: what was told again last may be over by now.
static uint64_t
live_least(const nmq_log_room *room)
{
    return room->live < room->live_most ? room->live : room->live_most;
}

// Whether telling again would give room where it is wanted.
static bool
is_worth_it(const nmq_log_room *room)
{
    uint64_t used = nmq_wal_used(room->wal);

    return used > 2 * live_least(room) + segments(room, NMQ_LOG_ROOM_SPARE) ||
           (room->look_ms != 0 && used > room->live_most + segments(room, 2));
}

// What must be ahead before a round begins.
static uint64_t
needed_ahead(const nmq_log_room *room)
{
    return room->in_epochs ? room->first : room->live_most;
}

bool
nmq_log_room_is_time(const nmq_log_room *room)
{
    return room->is_known && is_worth_it(room) &&
           needed_ahead(room) + segments(room, 1) / 2 < nmq_wal_ahead(room->wal);
}

// Bytes that bytes_max allows besides those that are used.
static uint64_t
allowed(const nmq_log_room *room)
{
    uint64_t max = NMQ_LIVE(room->bytes_max);
    uint64_t used = nmq_wal_used(room->wal);

    max = max != 0 ? max : UINT64_MAX;
    return max > used ? max - used : 0;
}

// Says how much is to be made ahead, and to be kept.
static void
set_spare(nmq_log_room *room, bool is_told)
{
    uint64_t spare = segments(room, NMQ_LOG_ROOM_RESERVE);

    if (is_told && is_worth_it(room)) {
        uint64_t most = allowed(room);
        uint64_t wanted = needed_ahead(room) + spare;
        wanted = wanted < most ? wanted : most;
        spare = wanted > spare ? wanted : spare;
    }
    room->wal->spare = spare;
    // what it takes until it has been told again: else that is removed and made anew
    room->wal->kept = 2 * live_least(room) + needed_ahead(room) +
                      segments(room, NMQ_LOG_ROOM_SPARE + 2 * NMQ_LOG_ROOM_RESERVE);
}

// Bytes that may be added.
static uint64_t
measure(const nmq_log_room *room, const uint64_t *told)
{
    uint64_t used = nmq_wal_used(room->wal);
    uint64_t live = room->live_most;
    uint64_t bytes =
        room->blocked != NMQ_OK ? nmq_wal_ahead(room->wal) : nmq_wal_room(room->wal);
    uint64_t most = allowed(room);

    bytes = bytes < most ? bytes : most;
    if (told != NULL) {
        live = live > *told ? live - *told : 0;
    }
    uint64_t needed = segments(room, NMQ_LOG_ROOM_RESERVE) + (live < used ? live : used);
    return bytes > needed && bytes - needed >= 2 * LEAST_ROOM ? (bytes - needed) / 2 : 0;
}

int
nmq_log_room_look(nmq_log_room *room, uint64_t live, uint64_t first, const uint64_t *told,
                  int64_t now_ns)
{
    room->is_known = true;
    room->live_most = live;
    room->first = first < live ? first : live;
    if (room->look_ms == 0 || now_ns >= room->look_ns) {
        room->wal->segments.error = 0;
        set_spare(room, told == NULL);
        int rv = nmq_wal_tidy(room->wal);
        for (int i = 0;
             i < PARTS && rv == NMQ_OK && nmq_wal_ahead(room->wal) < room->wal->spare;
             i++) { // more than one commit takes, but not all at once
            rv = nmq_wal_tidy(room->wal);
        }
        if (rv == NMQ_EIO) {
            return rv;
        }
        room->blocked = rv;
        room->look_ms = rv != NMQ_OK ? nmq_log_room_longer(room->look_ms) : 0;
        room->look_ns = now_ns + room->look_ms * NS_OF_MS;
    }
    uint64_t bytes = measure(room, told);
    nmq_journal_set_room(room->journal, bytes);
    if (bytes > 0) {
        return NMQ_OK;
    }
    if (room->look_ms == 0) {
        room->look_ms = RETRY_MS;
        room->look_ns = now_ns + room->look_ms * NS_OF_MS;
    }
    return room->blocked != NMQ_OK ? room->blocked : NMQ_ENOSPC;
}

void
nmq_log_room_measure(const nmq_log_room *room, nmq_committer_stats *out)
{
    const nmq_wal *wal = room->wal;
    uint64_t used = nmq_wal_used(wal);

    out->room = nmq_wal_room(wal);
    out->used = used;
    out->live = room->live_most < used ? room->live_most : used;
    out->size = nmq_wal_segments_bytes(&wal->segments);
    out->segments = wal->segments.count;
}
