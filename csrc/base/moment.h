// moment.h - one moment on both clocks: what is a deadline here, of the monotonic clock,
// can be told to another process, or to this machine after its next start, as a time of the
// wall clock.
//
//     written:  deadline 5,000 on the monotonic clock ──> 12:00:05 on the wall clock
//     read:     12:00:05 ──> a deadline of the process that reads
//
// Threads  thread-safe.
#pragma once
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

// The deadline that `written` had told as that wall-clock time; 0 stays 0, and one that has
// passed is 1 at least. Where both moments are of one start of the system, a wall clock
// that was set in between changes nothing. Otherwise it counts, but no time has gone back
// since `written`: a machine may wake up in 1970. at_ms: 0 to NMQ_MOMENT_MAX_MS.
#define NMQ_MOMENT_MAX_MS ((int64_t) 1 << 53)
int64_t nmq_moment_to_due(const nmq_moment *written, const nmq_moment *now, int64_t at_ms);
