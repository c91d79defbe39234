#include "base/clock.h"

#include <stddef.h>

#include "base/mem.h"
#include "base/status.h"

struct nmq_clock {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    nmq_wheel wheel;  // lock
    int64_t sleep_to; // lock: when the thread wakes by itself
    bool stopped;     // lock
    pthread_t thread;
};

static int64_t
read_ms(clockid_t id)
{
    struct timespec t;

    (void) clock_gettime(id, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
nmq_clock_now_ms(void)
{
    return read_ms(CLOCK_MONOTONIC_COARSE);
}

int64_t
nmq_clock_wall_ms(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool
nmq_clock_is_due(int64_t *last_ms, int64_t now_ms, int64_t pause_ms)
{
    int64_t last = __atomic_load_n(last_ms, __ATOMIC_RELAXED);

    return (last == 0 || now_ms - last >= pause_ms) &&
           __atomic_compare_exchange_n(last_ms, &last, now_ms, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static struct timespec
at_ms(int64_t ms)
{
    return (struct timespec){.tv_sec = (time_t) (ms / 1000),
                             .tv_nsec = (long) (ms % 1000) * 1000000};
}

void
nmq_clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;

    (void) pthread_condattr_init(&monotonic);
    (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void) pthread_cond_init(cond, &monotonic);
    (void) pthread_condattr_destroy(&monotonic);
}

struct timespec
nmq_clock_after(int64_t wait_ms)
{
    return at_ms(read_ms(CLOCK_MONOTONIC) + wait_ms);
}

void
nmq_clock_pause(void)
{
    (void) nanosleep(&(struct timespec){.tv_nsec = 1}, NULL);
}

static void
sleep_until_due(nmq_clock *clock, int64_t now_ms)
{
    int64_t wait_ms = nmq_wheel_wait_ms(&clock->wheel, now_ms);

    if (wait_ms < 0) {
        clock->sleep_to = INT64_MAX;
        (void) pthread_cond_wait(&clock->wake, &clock->lock);
        return;
    }
    clock->sleep_to = now_ms + wait_ms;
    struct timespec at = at_ms(clock->sleep_to);
    (void) pthread_cond_timedwait(&clock->wake, &clock->lock, &at);
}

static void *
run(void *arg)
{
    nmq_clock *clock = arg;

    (void) pthread_mutex_lock(&clock->lock);
    while (!clock->stopped) {
        int64_t now_ms = read_ms(CLOCK_MONOTONIC);
        nmq_timer *timer = nmq_wheel_expired(&clock->wheel, now_ms);
        if (timer == NULL) {
            sleep_until_due(clock, now_ms);
            continue;
        }
        (void) pthread_mutex_unlock(&clock->lock);
        timer->fire(timer);
        (void) pthread_mutex_lock(&clock->lock);
    }
    (void) pthread_mutex_unlock(&clock->lock);
    return NULL;
}

int
nmq_clock_new(nmq_clock **out)
{
    nmq_clock *clock = nmq_zalloc(sizeof *clock);

    if (clock == NULL) {
        return NMQ_ENOMEM;
    }
    (void) pthread_mutex_init(&clock->lock, NULL);
    nmq_clock_cond_init(&clock->wake);
    nmq_wheel_init(&clock->wheel, read_ms(CLOCK_MONOTONIC));
    if (pthread_create(&clock->thread, NULL, run, clock) != 0) {
        (void) pthread_cond_destroy(&clock->wake);
        (void) pthread_mutex_destroy(&clock->lock);
        nmq_free(clock);
        return NMQ_ENOMEM;
    }
    *out = clock;
    return NMQ_OK;
}

void
nmq_clock_free(nmq_clock *clock, void (*drop)(nmq_timer *timer))
{
    nmq_timer *timer;

    if (clock == NULL) {
        return;
    }
    (void) pthread_mutex_lock(&clock->lock);
    clock->stopped = true;
    (void) pthread_cond_signal(&clock->wake);
    (void) pthread_mutex_unlock(&clock->lock);
    (void) pthread_join(clock->thread, NULL);
    while ((timer = nmq_wheel_expired(&clock->wheel, INT64_MAX)) != NULL) {
        drop(timer);
    }
    (void) pthread_cond_destroy(&clock->wake);
    (void) pthread_mutex_destroy(&clock->lock);
    nmq_free(clock);
}

bool
nmq_clock_arm(nmq_clock *clock, nmq_timer *timer, int64_t due_ms)
{
    (void) pthread_mutex_lock(&clock->lock);
    bool was_idle = !timer->armed && !clock->stopped;
    if (!clock->stopped) {
        nmq_wheel_arm(&clock->wheel, timer, due_ms);
        if (timer->due_ms < clock->sleep_to) {
            (void) pthread_cond_signal(&clock->wake);
        }
    }
    (void) pthread_mutex_unlock(&clock->lock);
    return was_idle;
}

bool
nmq_clock_cancel(nmq_clock *clock, nmq_timer *timer)
{
    (void) pthread_mutex_lock(&clock->lock);
    bool was_armed = nmq_wheel_cancel(&clock->wheel, timer);
    (void) pthread_mutex_unlock(&clock->lock);
    return was_armed;
}
