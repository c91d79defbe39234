#include "route/link.h"

#include <stddef.h>

enum {
    GATHER_MS = 120,   // over its bound before anyone waits: a socket fills up meanwhile
    STILL_MS = 50,     // without a byte taken: perhaps it does not read at all
    GATHER_FACTOR = 8, // times its bound, at most
    STILL_PART = 4,    // of the hold time, for a peer that takes nothing
};

void
nmq_link_init(nmq_link *link, const nmq_link_ops *ops)
{
    *link = (nmq_link){.ops = ops, .refs = 1};
    (void) pthread_mutex_init(&link->lock, NULL);
}

void
nmq_link_fini(nmq_link *link)
{
    nmq_outbox_reset(&link->outbox, 0);
    (void) pthread_mutex_destroy(&link->lock);
}

nmq_link *
nmq_link_ref(nmq_link *link)
{
    (void) __atomic_add_fetch(&link->refs, 1, __ATOMIC_RELAXED);
    return link;
}

void
nmq_link_unref(nmq_link *link)
{
    if (link != NULL && __atomic_sub_fetch(&link->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        link->ops->free(link);
    }
}

size_t
nmq_link_backlog(const nmq_link *link)
{
    return link->outbox.total + link->sending_bytes;
}

static bool
is_over(const nmq_link *link, size_t max_bytes)
{
    return !link->stuck && !link->closed &&
           (nmq_link_backlog(link) > max_bytes || link->queue_full);
}

void
nmq_link_moved(nmq_link *link, int64_t now_ms)
{
    __atomic_store_n(&link->moved_ms, now_ms, __ATOMIC_RELAXED);
}

// How long the peer has taken nothing, as far as that is of interest since `from_ms`.
static int64_t
still_ms(const nmq_link *link, int64_t from_ms, int64_t now_ms)
{
    int64_t moved_ms = __atomic_load_n(&link->moved_ms, __ATOMIC_RELAXED);

    return now_ms - (moved_ms > from_ms ? moved_ms : from_ms);
}

// How long a peer may stand still. Acknowledgements may have a long way; but nobody waits
// for who has gathered all that it may.
static int64_t
still_max_ms(const nmq_link *link, const nmq_patience *patience)
{
    size_t backlog = nmq_link_backlog(link);

    if (backlog / GATHER_FACTOR > patience->max_bytes) {
        return STILL_MS;
    }
    return backlog > patience->max_bytes || link->queue_at_limit
               ? patience->hold_ms / STILL_PART
               : patience->hold_ms;
}

bool
nmq_link_moves(const nmq_link *link, int64_t now_ms)
{
    return still_ms(link, 0, now_ms) < STILL_MS;
}

// Whether it has been over its bound for long, or is far over it while its peer takes some.
static bool
is_to_wait_for(const nmq_link *link, const nmq_patience *patience)
{
    int64_t moved_ms = __atomic_load_n(&link->moved_ms, __ATOMIC_RELAXED);
    bool far =
        link->queue_is_long || nmq_link_backlog(link) / NMQ_LINK_FAR > patience->max_bytes;

    return patience->now_ms - link->over_ms >= GATHER_MS ||
           (far && moved_ms > link->over_ms);
}

enum nmq_pace
nmq_link_judge(nmq_link *link, const nmq_patience *patience)
{
    int64_t now_ms = patience->now_ms;

    if (!is_over(link, patience->max_bytes)) {
        link->over_ms = 0;
        return NMQ_PACE_FINE;
    }
    if (link->over_ms == 0) {
        link->over_ms = now_ms;
    }
    int64_t still = still_ms(link, link->over_ms, now_ms);
    if (still >= still_max_ms(link, patience)) {
        link->stuck = true;
        return NMQ_PACE_STUCK;
    }
    return still < STILL_MS && is_to_wait_for(link, patience) ? NMQ_PACE_SLOW
                                                              : NMQ_PACE_FINE;
}

bool
nmq_link_hold(nmq_link *link, nmq_link *reader, const nmq_patience *patience, bool *first)
{
    (void) pthread_mutex_lock(&link->lock);
    // Waiting for its own acknowledgements would wait for ever.
    bool wait = link == reader ? is_over(link, patience->max_bytes) &&
                                     nmq_link_backlog(link) > patience->max_bytes
                               : nmq_link_judge(link, patience) == NMQ_PACE_SLOW;
    *first = wait && link->held == NULL;
    if (*first) {
        link->held_ms = patience->now_ms;
    }
    if (wait) {
        reader->next_held = link->held;
        link->held = nmq_link_ref(reader);
    }
    (void) pthread_mutex_unlock(&link->lock);
    return wait;
}

enum nmq_pace
nmq_link_look(nmq_link *link, const nmq_patience *patience)
{
    int64_t now_ms = patience->now_ms;
    enum nmq_pace pace = NMQ_PACE_FINE;

    (void) pthread_mutex_lock(&link->lock);
    if (link->held != NULL && is_over(link, patience->max_bytes)) {
        link->stuck = now_ms - link->held_ms >= patience->hold_ms ||
                      still_ms(link, link->held_ms, now_ms) >= still_max_ms(link, patience);
        pace = link->stuck ? NMQ_PACE_STUCK : NMQ_PACE_SLOW;
    }
    (void) pthread_mutex_unlock(&link->lock);
    return pace;
}

void
nmq_link_relieve(nmq_link *link, size_t max_bytes, bool always)
{
    nmq_link *held = NULL;

    (void) pthread_mutex_lock(&link->lock);
    bool drained = nmq_link_backlog(link) <= max_bytes / 2 && !link->queue_full;
    if (drained) {
        link->stuck = false;
        link->over_ms = 0;
    }
    if (drained || always) {
        held = link->held;
        link->held = NULL;
    }
    (void) pthread_mutex_unlock(&link->lock);
    while (held != NULL) {
        nmq_link *reader = held;
        held = reader->next_held;
        reader->next_held = NULL;
        reader->ops->resume(reader);
        nmq_link_unref(reader);
    }
}
