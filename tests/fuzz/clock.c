// clock.c - the clock of base/clock.h without a thread: time stands still until a target
// moves it, so that a run depends on its input alone.
#include "base/clock.h"

#include "base/mem.h"
#include "base/status.h"
#include "end.h"

enum { STEP_MS = NMQ_WHEEL_TICK_MS };

struct nmq_clock {
    nmq_wheel wheel;
    bool stopped;
};

static int64_t now_ms;
static nmq_clock *running; // one broker at a time

int64_t
nmq_clock_now_ms(void)
{
    return now_ms;
}

int64_t
nmq_clock_wall_ms(void)
{
    return now_ms;
}

bool
nmq_clock_is_due(int64_t *last_ms, int64_t at_ms, int64_t pause_ms)
{
    bool due = *last_ms == 0 || at_ms - *last_ms >= pause_ms;

    *last_ms = due ? at_ms : *last_ms;
    return due;
}

void
nmq_clock_cond_init(pthread_cond_t *cond)
{
    (void) pthread_cond_init(cond, NULL);
}

// Nobody else runs: a wait for somebody else is over at once.
struct timespec
nmq_clock_after(int64_t wait_ms)
{
    (void) wait_ms;
    return (struct timespec){0};
}

int
nmq_clock_new(nmq_clock **out)
{
    nmq_clock *clock = nmq_zalloc(sizeof *clock);

    if (clock == NULL) {
        return NMQ_ENOMEM;
    }
    now_ms = 1000000;
    nmq_wheel_init(&clock->wheel, now_ms);
    *out = running = clock;
    return NMQ_OK;
}

void
nmq_clock_free(nmq_clock *clock, void (*drop)(nmq_timer *timer))
{
    nmq_timer *timer;

    if (clock == NULL) {
        return;
    }
    running = NULL;
    while ((timer = nmq_wheel_expired(&clock->wheel, INT64_MAX)) != NULL) {
        drop(timer);
    }
    nmq_free(clock);
}

bool
nmq_clock_arm(nmq_clock *clock, nmq_timer *timer, int64_t due_ms)
{
    bool was_idle = !timer->armed;

    nmq_wheel_arm(&clock->wheel, timer, due_ms);
    return was_idle;
}

bool
nmq_clock_cancel(nmq_clock *clock, nmq_timer *timer)
{
    return nmq_wheel_cancel(&clock->wheel, timer);
}

static void
fire_due(void)
{
    nmq_timer *timer;

    while (running != NULL &&
           (timer = nmq_wheel_expired(&running->wheel, now_ms)) != NULL) {
        timer->fire(timer);
    }
}

void
fuzz_pass_time(int64_t wait_ms)
{
    int64_t until_ms = now_ms + wait_ms;

    while (running != NULL && now_ms < until_ms) {
        int64_t next_ms = nmq_wheel_wait_ms(&running->wheel, now_ms);
        if (next_ms < 0 || now_ms + next_ms > until_ms) {
            break;
        }
        now_ms += next_ms > 0 ? next_ms : STEP_MS;
        fire_due();
    }
    now_ms = now_ms < until_ms ? until_ms : now_ms;
    fire_due();
}

void
nmq_clock_pause(void)
{
}
