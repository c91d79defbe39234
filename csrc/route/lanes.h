// lanes.h - the lock of the subscription tree: readers side by side, writers alone.
//
//     thread 1 ── lane 1 ─┐
//     thread 2 ── lane 2 ─┼─ a writer takes all of them
//     thread 3 ── lane 3 ─┘
//
// Each lane is a lock in a cache line of its own.
//
// A reader takes one lock that no other running thread wants, so that two task threads
// route at once without touching the same line. A reader keeps its lane for as much of a
// batch as NMQ_LANE_WORK allows.
//
// A writer that finds a lane busy gives up the lanes that it has and waits for the busy one
// alone, so that readers of the other lanes do not wait for it. A writer that has given up
// often gets the right of way: readers that come then let it go first.
//
// Threads  never enter a lane, or lock all, while holding one. Lock order: architecture.md.
#pragma once
#include "store/topic_tree.h"

typedef struct nmq_lane nmq_lane;
typedef struct nmq_lanes nmq_lanes;

nmq_lanes *nmq_lanes_new(void); // NULL when memory is out
void nmq_lanes_free(nmq_lanes *lanes);

// Reader: enter the calling thread's lane; its scratch matches are the caller's until
// leave.
nmq_lane *nmq_lanes_enter(nmq_lanes *lanes);
void nmq_lanes_leave(nmq_lane *lane);
nmq_matches *nmq_lane_matches(nmq_lane *lane);

// Keeps writers out until thaw, and no reader waits: for who reads the tree and is in no
// hurry.
void nmq_lanes_freeze(nmq_lanes *lanes);
void nmq_lanes_thaw(nmq_lanes *lanes);

// Writer.
void nmq_lanes_lock_all(nmq_lanes *lanes);
void nmq_lanes_unlock_all(nmq_lanes *lanes);
