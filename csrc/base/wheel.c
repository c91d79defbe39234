#include "base/wheel.h"

#include <stddef.h>

static nmq_timer *
slot_of(nmq_wheel *wheel, int64_t tick)
{
    return &wheel->slots[tick & (NMQ_WHEEL_SLOTS - 1)];
}

static void
unlink_timer(nmq_wheel *wheel, nmq_timer *timer)
{
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
    timer->armed = false;
    wheel->count--;
}

void
nmq_wheel_init(nmq_wheel *wheel, int64_t now_ms)
{
    for (int i = 0; i < NMQ_WHEEL_SLOTS; i++) {
        wheel->slots[i] = (nmq_timer){.next = &wheel->slots[i], .prev = &wheel->slots[i]};
    }
    wheel->now_tick = now_ms / NMQ_WHEEL_TICK_MS;
    wheel->count = 0;
}

void
nmq_wheel_arm(nmq_wheel *wheel, nmq_timer *timer, int64_t due_ms)
{
    // Rounded up: a timer may fire late by a tick, never early.
    int64_t tick = (due_ms + NMQ_WHEEL_TICK_MS - 1) / NMQ_WHEEL_TICK_MS;

    if (timer->armed) {
        unlink_timer(wheel, timer);
    }
    if (tick <= wheel->now_tick) {
        tick = wheel->now_tick + 1;
    }
    nmq_timer *head = slot_of(wheel, tick);
    timer->due_ms = tick * NMQ_WHEEL_TICK_MS;
    timer->next = head;
    timer->prev = head->prev;
    head->prev->next = timer;
    head->prev = timer;
    timer->armed = true;
    wheel->count++;
}

bool
nmq_wheel_cancel(nmq_wheel *wheel, nmq_timer *timer)
{
    if (!timer->armed) {
        return false;
    }
    unlink_timer(wheel, timer);
    return true;
}

nmq_timer *
nmq_wheel_expired(nmq_wheel *wheel, int64_t now_ms)
{
    int64_t to = now_ms / NMQ_WHEEL_TICK_MS;

    // After a long sleep one turn visits every slot.
    if (to - wheel->now_tick > NMQ_WHEEL_SLOTS) {
        wheel->now_tick = to - NMQ_WHEEL_SLOTS;
    }
    for (; wheel->now_tick <= to; wheel->now_tick++) {
        nmq_timer *head = slot_of(wheel, wheel->now_tick);
        for (nmq_timer *t = head->next; t != head; t = t->next) {
            if (t->due_ms <= now_ms) {
                unlink_timer(wheel, t);
                return t;
            }
        }
        if (wheel->now_tick == to) {
            break;
        }
    }
    return NULL;
}

int64_t
nmq_wheel_wait_ms(const nmq_wheel *wheel, int64_t now_ms)
{
    if (wheel->count == 0) {
        return -1;
    }
    int64_t tick = now_ms / NMQ_WHEEL_TICK_MS;
    if (tick - wheel->now_tick > 0) {
        return 0;
    }
    for (int i = 1; i < NMQ_WHEEL_SLOTS; i++) {
        const nmq_timer *head = &wheel->slots[(tick + i) & (NMQ_WHEEL_SLOTS - 1)];
        if (head->next != head) {
            return (tick + i) * NMQ_WHEEL_TICK_MS - now_ms;
        }
    }
    return (tick + NMQ_WHEEL_SLOTS) * NMQ_WHEEL_TICK_MS - now_ms;
}
