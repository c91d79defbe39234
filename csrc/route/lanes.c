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

struct nmq_lanes {
    nmq_lane lane[NMQ_SHARDS];
    void *block; // as allocated; the struct lies aligned in it
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
    nmq_free(lanes->block);
}

nmq_lane *
nmq_lanes_enter(nmq_lanes *lanes)
{
    nmq_lane *lane = &lanes->lane[nmq_shard()];

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
nmq_lanes_lock_all(nmq_lanes *lanes)
{
    for (int i = 0; i < NMQ_SHARDS; i++) {
        (void) pthread_mutex_lock(&lanes->lane[i].lock);
    }
}

void
nmq_lanes_unlock_all(nmq_lanes *lanes)
{
    for (int i = NMQ_SHARDS - 1; i >= 0; i--) {
        (void) pthread_mutex_unlock(&lanes->lane[i].lock);
    }
}
