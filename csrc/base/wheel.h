// wheel.h - timers: one hashed wheel for keep-alive, will delay, expiry and retry.
//
//     slot 0 1 2 3 ... 511, each NMQ_WHEEL_TICK_MS wide; a deadline that lies more than
//     one turn ahead stays in its slot until its own turn comes
//
// Owner    a timer is embedded in its owner's struct; the wheel only links it.
// Threads  none of its own: the caller's lock.
// Cost     arm, cancel: constant. expired: looks at each timer of the slots passed once a
//          turn of the wheel, and in one call at 1,024 at most that are not due. wait:
//          reads a word for each 64 slots.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { NMQ_WHEEL_TICK_MS = 50, NMQ_WHEEL_SLOTS = 512 };

// A zeroed timer is a valid idle one.
typedef struct nmq_timer {
    struct nmq_timer *next;
    struct nmq_timer *prev;
    void (*fire)(struct nmq_timer *timer); // called by nmq_clock
    int64_t due_ms;
    bool armed;
} nmq_timer;

typedef struct {
    nmq_timer slots[512]; // list heads
    nmq_timer passed;     // list head: of now_tick's slot, not looked at yet
    uint64_t occupied[8]; // a bit a slot: it holds a timer
    int64_t now_tick;
    uint32_t count; // timers armed
} nmq_wheel;

void nmq_wheel_init(nmq_wheel *wheel, int64_t now_ms);

// Links the timer to fall due at due_ms, or moves it there. A time that has passed falls
// due at the next advance.
void nmq_wheel_arm(nmq_wheel *wheel, nmq_timer *timer, int64_t due_ms);

// Unlinks the timer. Returns whether it was armed.
bool nmq_wheel_cancel(nmq_wheel *wheel, nmq_timer *timer);

// Unlinks and returns one timer that is due at now_ms. Timers that are due and not yet
// returned can be moved and cancelled like any other. Returns NULL when none is left. It
// also returns NULL after it has looked at many: nmq_wheel_wait_ms is 0 then, and the
// caller may release its lock before it goes on.
nmq_timer *nmq_wheel_expired(nmq_wheel *wheel, int64_t now_ms);

// Milliseconds from now_ms to the next slot that holds a timer, at most one turn; -1: none.
int64_t nmq_wheel_wait_ms(const nmq_wheel *wheel, int64_t now_ms);
