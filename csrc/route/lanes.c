#include "route/lanes.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/shard.h"

struct nmq_lane {
    alignas(NMQ_CACHE_LINE) pthread_mutex_t lock;
    nmq_matches matches; // lock
};

enum { POLITE_TRIES = 2 }; // of a writer

struct nmq_lanes {
    nmq_lane lane[NMQ_SHARDS];
    alignas(NMQ_CACHE_LINE) bool writer_first; // atomic: readers let the writer go first
    void *block; // as allocated; the struct lies aligned in it
    alignas(NMQ_CACHE_LINE) pthread_mutex_t writer; // one at a time; before any lane
};

nmq_lanes *
nmq_lanes_new(void)
{
    void *block = nmq_zalloc(sizeof(nmq_lanes) + NMQ_CACHE_LINE);

    if (block == NULL) {
        return NULL;
    }
    uintptr_t at =
        ((uintptr_t) block + NMQ_CACHE_LINE - 1) & ~(uintptr_t) (NMQ_CACHE_LINE - 1);
    nmq_lanes *lanes = (nmq_lanes *) at;
    lanes->block = block;
    for (int i = 0; i < NMQ_SHARDS; i++) {
        (void) pthread_mutex_init(&lanes->lane[i].lock, NULL);
    }
    (void) pthread_mutex_init(&lanes->writer, NULL);
    return lanes;
}

void
nmq_lanes_free(nmq_lanes *lanes)
{
    if (lanes == NULL) {
        return;
    }
    for (int i = 0; i < NMQ_SHARDS; i++) {
        nmq_matches_free(&lanes->lane[i].matches);
        (void) pthread_mutex_destroy(&lanes->lane[i].lock);
    }
    (void) pthread_mutex_destroy(&lanes->writer);
    nmq_free(lanes->block);
}

nmq_lane *
nmq_lanes_enter(nmq_lanes *lanes)
{
    nmq_lane *lane = &lanes->lane[nmq_shard()];

    if (__atomic_load_n(&lanes->writer_first, __ATOMIC_RELAXED)) {
        (void) pthread_mutex_lock(&lanes->writer);
        (void) pthread_mutex_unlock(&lanes->writer);
    }
    (void) pthread_mutex_lock(&lane->lock);
    return lane;
}

void
nmq_lanes_leave(nmq_lane *lane)
{
    (void) pthread_mutex_unlock(&lane->lock);
}

nmq_matches *
nmq_lane_matches(nmq_lane *lane)
{
    return &lane->matches;
}

void
nmq_lanes_freeze(nmq_lanes *lanes)
{
    (void) pthread_mutex_lock(&lanes->writer);
}

void
nmq_lanes_thaw(nmq_lanes *lanes)
{
    (void) pthread_mutex_unlock(&lanes->writer);
}

// Takes all lanes but `held`, which the caller has. If one is busy, it takes none, releases
// `held` too, and returns the busy one. Returns -1 when all are taken.
static int
try_others(nmq_lanes *lanes, int held)
{
    for (int i = 0; i < NMQ_SHARDS; i++) {
        if (i == held || pthread_mutex_trylock(&lanes->lane[i].lock) == 0) {
            continue;
        }
        for (int j = 0; j < i; j++) {
            if (j != held) {
                (void) pthread_mutex_unlock(&lanes->lane[j].lock);
            }
        }
        (void) pthread_mutex_unlock(&lanes->lane[held].lock);
        return i;
    }
    return -1;
}

void
nmq_lanes_lock_all(nmq_lanes *lanes)
{
    int busy = 0;

    (void) pthread_mutex_lock(&lanes->writer);
    for (int tries = 0; busy >= 0; tries++) {
        if (tries == POLITE_TRIES) {
            __atomic_store_n(&lanes->writer_first, true, __ATOMIC_RELAXED);
        }
        (void) pthread_mutex_lock(&lanes->lane[busy].lock);
        busy = try_others(lanes, busy);
    }
    __atomic_store_n(&lanes->writer_first, false, __ATOMIC_RELAXED);
}

void
nmq_lanes_unlock_all(nmq_lanes *lanes)
{
    for (int i = NMQ_SHARDS - 1; i >= 0; i--) {
        (void) pthread_mutex_unlock(&lanes->lane[i].lock);
    }
    (void) pthread_mutex_unlock(&lanes->writer);
}
