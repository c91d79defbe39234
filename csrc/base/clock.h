// clock.h - one thread that fires the timers of one wheel.
//
// Owner    A timer is embedded in its owner. An armed timer holds one reference to the
//          owner: whoever arms an idle timer hands it over; `fire`, and a `cancel` that
//          returns true, hand it back.
// Threads  arm and cancel are thread-safe; fire runs on the clock's thread, unlocked.
#pragma once
#include <pthread.h>
#include <time.h>

#include "base/wheel.h"

typedef struct nmq_clock nmq_clock;

// Milliseconds of the monotonic clock, which moves in steps of a few.
int64_t nmq_clock_now_ms(void);

// Milliseconds of the wall clock since 1970, for people to read: it may be set at any time.
int64_t nmq_clock_wall_ms(void);

// Whether a job is due that any thread may do, but none too often: `pause_ms` after
// *last_ms (atomic), the time when it was done last; 0 there: it was never done. When many
// ask, one gets true.
bool nmq_clock_is_due(int64_t *last_ms, int64_t now_ms, int64_t pause_ms);

// Makes a condition whose timed waits go by the monotonic clock, and gives the end of such
// a wait. When the wall clock is set, a wait becomes neither shorter nor longer.
void nmq_clock_cond_init(pthread_cond_t *cond);
struct timespec nmq_clock_after(int64_t wait_ms);

// Sleeps as shortly as the system can, about 60 us, so that a thread gets a lock that the
// caller takes again and again. Call without a lock.
void nmq_clock_pause(void);

// Starts the thread. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_clock_new(nmq_clock **out);

// Stops the thread; timers still armed are dropped by calling `drop` on each.
void nmq_clock_free(nmq_clock *clock, void (*drop)(nmq_timer *timer));

// Arms the timer, or moves it. Returns true when it was idle: the caller's reference is now
// the timer's. Returns false when it was armed already, or the clock has stopped: the
// reference is still the caller's.
bool nmq_clock_arm(nmq_clock *clock, nmq_timer *timer, int64_t due_ms);

// Returns true when it was armed: its reference is the caller's.
bool nmq_clock_cancel(nmq_clock *clock, nmq_timer *timer);
