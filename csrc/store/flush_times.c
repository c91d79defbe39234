#include "store/flush_times.h"

#include <string.h>

#include "base/live.h"

enum { STEPS = 4, STEP_BITS = 2 }; // of a power of 2

enum { NS_OF_US = 1000, NS_OF_MS = 1000 * NS_OF_US };

static unsigned
bucket_of(uint64_t us)
{
    if (us < STEPS) {
        return (unsigned) us;
    }
    unsigned power = 63 - (unsigned) __builtin_clzll(us);
    unsigned step = (unsigned) (us >> (power - STEP_BITS)) - STEPS;
    unsigned bucket = (power - STEP_BITS + 1) * STEPS + step;

    return bucket < NMQ_FLUSH_BUCKETS ? bucket : NMQ_FLUSH_BUCKETS - 1;
}

// The longest time that a bucket holds.
static uint64_t
end_of(unsigned bucket)
{
    if (bucket < STEPS) {
        return bucket;
    }
    unsigned power = bucket / STEPS - 1;

    return ((UINT64_C(1) + STEPS + bucket % STEPS) << power) - 1;
}

static void
begin_turn(nmq_flush_turn *turn, uint64_t number)
{
    NMQ_LIVE_SET(turn->turn, 0);
    NMQ_LIVE_SET(turn->max_us, 0);
    for (unsigned i = 0; i < NMQ_FLUSH_BUCKETS; i++) {
        NMQ_LIVE_SET(turn->count[i], 0);
    }
    NMQ_LIVE_SET(turn->turn, number);
}

static uint64_t
turn_of(int64_t now_ns)
{
    return (uint64_t) now_ns / NS_OF_MS / NMQ_FLUSH_TURN_MS;
}

static void
add(nmq_flush_times *times, uint64_t number, uint64_t us)
{
    nmq_flush_turn *turn = &times->turns[number % NMQ_FLUSH_TURNS];
    unsigned bucket = bucket_of(us);

    if (turn->turn != number) {
        begin_turn(turn, number);
    }
    NMQ_LIVE_SET(turn->count[bucket], turn->count[bucket] + 1);
    if (us > turn->max_us) {
        NMQ_LIVE_SET(turn->max_us, us);
    }
}

void
nmq_flush_begin(nmq_flush_times *times, int64_t now_ns)
{
    NMQ_LIVE_SET(times->began_ns, now_ns);
}

void
nmq_flush_end(nmq_flush_times *times, int64_t now_ns, bool counts)
{
    if (counts) {
        uint64_t us = (uint64_t) (now_ns - times->began_ns) / NS_OF_US;
        add(times, turn_of(now_ns), us);
        NMQ_LIVE_SET(times->total_us, times->total_us + us);
    }
    NMQ_LIVE_SET(times->began_ns, 0);
}

// Adds up those that are not too old; now: the turn. Returns how many there are.
static uint64_t
sum(const nmq_flush_times *times, uint64_t now, uint64_t count[NMQ_FLUSH_BUCKETS],
    uint64_t *max_us)
{
    uint64_t all = 0;

    for (unsigned t = 0; t < NMQ_FLUSH_TURNS; t++) {
        const nmq_flush_turn *turn = &times->turns[t];
        uint64_t max = NMQ_LIVE(turn->max_us);
        if (NMQ_LIVE(turn->turn) + NMQ_FLUSH_TURNS <= now) {
            continue;
        }
        *max_us = max > *max_us ? max : *max_us;
        for (unsigned i = 0; i < NMQ_FLUSH_BUCKETS; i++) {
            uint32_t n = NMQ_LIVE(turn->count[i]);
            count[i] += n;
            all += n;
        }
    }
    return all;
}

// The time that so many of 100 took at most. all > 0.
static uint64_t
share(const uint64_t count[NMQ_FLUSH_BUCKETS], uint64_t all, unsigned percent)
{
    uint64_t rank = (all * percent + 99) / 100;
    uint64_t seen = 0;
    unsigned i = 0;

    while (seen + count[i] < rank) {
        seen += count[i++];
    }
    return end_of(i);
}

nmq_flush_summary
nmq_flush_look(const nmq_flush_times *times, int64_t now_ns)
{
    int64_t began_ns = NMQ_LIVE(times->began_ns);
    uint64_t count[NMQ_FLUSH_BUCKETS];
    nmq_flush_summary out = {.total_us = NMQ_LIVE(times->total_us)};

    memset(count, 0, sizeof count);
    uint64_t all = sum(times, turn_of(now_ns), count, &out.max_us);
    if (all > 0) {
        uint64_t p50_us = share(count, all, 50);
        uint64_t p99_us = share(count, all, 99);
        // A bucket ends behind the longest time in it.
        out.p50_us = p50_us < out.max_us ? p50_us : out.max_us;
        out.p99_us = p99_us < out.max_us ? p99_us : out.max_us;
    }
    if (began_ns != 0 && began_ns < now_ns) {
        out.now_us = (uint64_t) (now_ns - began_ns) / NS_OF_US;
    }
    return out;
}
