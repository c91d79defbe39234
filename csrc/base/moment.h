// moment.h - one moment on both clocks. With it a deadline of the monotonic clock becomes a
// time of the wall clock, which another process, or this machine after its next start, can
// read.
//
//     written:  deadline 5,000 on the monotonic clock ──> 12:00:05 on the wall clock
//     read:     12:00:05 ──> a deadline of the process that reads
//
// Threads  thread-safe.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

typedef struct {
    int64_t wall_ms;  // since 1970; people and time servers set it
    int64_t clock_ms; // of the monotonic clock, which begins at a start of the system
    uint8_t boot[64]; // which start that was
    uint8_t boot_len; // 0: unknown
} nmq_moment;

nmq_moment nmq_moment_now(void);

// The wall-clock time of a deadline; 0, for none, stays 0.
int64_t nmq_moment_to_wall(const nmq_moment *now, int64_t due_ms);

// Whether the monotonic clock has gone on from one to the other.
bool nmq_moment_is_one_clock(const nmq_moment *written, const nmq_moment *now);

// The deadline that was a wall-clock time of at_ms (0 to NMQ_MOMENT_MAX_MS) at the moment
// `written`. 0 stays 0, and a deadline that has passed is 1 at least. If both moments are
// of one start of the system, it does not matter whether the wall clock was set in between.
// Otherwise the wall clock counts, but it is never taken to be before `written`: a machine
// may wake up in 1970.
#define NMQ_MOMENT_MAX_MS ((int64_t) 1 << 53)
int64_t nmq_moment_to_due(const nmq_moment *written, const nmq_moment *now, int64_t at_ms);
