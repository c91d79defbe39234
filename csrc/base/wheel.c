#include "base/wheel.h"

#include <stddef.h>

enum { WORD_BITS = 64, LOOKS_MAX = 1024 };

static unsigned
index_of(int64_t tick)
{
    return (unsigned) tick & (NMQ_WHEEL_SLOTS - 1);
}

static void
make_empty(nmq_timer *head)
{
    *head = (nmq_timer){.next = head, .prev = head};
}

static void
link_timer(nmq_wheel *wheel, nmq_timer *timer)
{
    unsigned index = index_of(timer->due_ms / NMQ_WHEEL_TICK_MS);
    nmq_timer *head = &wheel->slots[index];

    timer->next = head;
    timer->prev = head->prev;
    head->prev->next = timer;
    head->prev = timer;
    wheel->occupied[index / WORD_BITS] |= UINT64_C(1) << index % WORD_BITS;
}

static void
unlink_timer(nmq_wheel *wheel, nmq_timer *timer)
{
    nmq_timer *head = timer->next;

    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    if (timer->next == timer->prev && head != &wheel->passed) { // the list is empty now
        size_t index = (size_t) (head - wheel->slots);
        wheel->occupied[index / WORD_BITS] &= ~(UINT64_C(1) << index % WORD_BITS);
    }
    timer->next = timer->prev = NULL;
}

void
nmq_wheel_init(nmq_wheel *wheel, int64_t now_ms)
{
    *wheel = (nmq_wheel){.now_tick = now_ms / NMQ_WHEEL_TICK_MS};
    for (int i = 0; i < NMQ_WHEEL_SLOTS; i++) {
        make_empty(&wheel->slots[i]);
    }
    make_empty(&wheel->passed);
}

void
nmq_wheel_arm(nmq_wheel *wheel, nmq_timer *timer, int64_t due_ms)
{
    // Rounded up: a timer may fire late by a tick, never early.
    int64_t tick = due_ms / NMQ_WHEEL_TICK_MS + (due_ms % NMQ_WHEEL_TICK_MS > 0);

    (void) nmq_wheel_cancel(wheel, timer);
    if (tick <= wheel->now_tick) {
        tick = wheel->now_tick + 1;
    }
    timer->due_ms = tick * NMQ_WHEEL_TICK_MS;
    timer->armed = true;
    link_timer(wheel, timer);
    wheel->count++;
}

bool
nmq_wheel_cancel(nmq_wheel *wheel, nmq_timer *timer)
{
    if (!timer->armed) {
        return false;
    }
    unlink_timer(wheel, timer);
    timer->armed = false;
    wheel->count--;
    return true;
}

// Moves on to the next tick: its whole slot is to be looked through.
static void
pass(nmq_wheel *wheel)
{
    unsigned index = index_of(++wheel->now_tick);
    nmq_timer *head = &wheel->slots[index];
    nmq_timer *passed = &wheel->passed;

    if (head->next == head) {
        return;
    }
    *passed = *head;
    passed->next->prev = passed;
    passed->prev->next = passed;
    make_empty(head);
    wheel->occupied[index / WORD_BITS] &= ~(UINT64_C(1) << index % WORD_BITS);
}

nmq_timer *
nmq_wheel_expired(nmq_wheel *wheel, int64_t now_ms)
{
    int64_t to = now_ms / NMQ_WHEEL_TICK_MS;

    // After a long sleep one turn visits every slot.
    if (to - wheel->now_tick > NMQ_WHEEL_SLOTS) {
        wheel->now_tick = to - NMQ_WHEEL_SLOTS;
    }
    for (int looks = 0; looks < LOOKS_MAX;) {
        nmq_timer *timer = wheel->passed.next;
        if (timer != &wheel->passed) {
            if (timer->due_ms <= now_ms) {
                (void) nmq_wheel_cancel(wheel, timer);
                return timer;
            }
            unlink_timer(wheel, timer);
            link_timer(wheel, timer); // for a later turn
            looks++;
        } else if (wheel->now_tick < to) {
            pass(wheel);
        } else {
            return NULL;
        }
    }
    return NULL;
}

int64_t
nmq_wheel_wait_ms(const nmq_wheel *wheel, int64_t now_ms)
{
    int64_t tick = now_ms / NMQ_WHEEL_TICK_MS;

    if (wheel->count == 0) {
        return -1;
    }
    if (tick > wheel->now_tick || wheel->passed.next != &wheel->passed) {
        return 0;
    }
    for (int64_t next = tick + 1; next < tick + NMQ_WHEEL_SLOTS;) {
        unsigned index = index_of(next);
        uint64_t rest = wheel->occupied[index / WORD_BITS] >> index % WORD_BITS;
        if (rest != 0) {
            return (next + __builtin_ctzll(rest)) * NMQ_WHEEL_TICK_MS - now_ms;
        }
        next += WORD_BITS - index % WORD_BITS;
    }
    return (tick + NMQ_WHEEL_SLOTS) * NMQ_WHEEL_TICK_MS - now_ms;
}
