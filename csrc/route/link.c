#include "route/link.h"

#include <stddef.h>

#include "base/mem.h"
#include "store/session.h"

enum {
    GATHER_MS = 120,   // over its bound before anyone waits: a socket fills up meanwhile
    STILL_MS = 50,     // without a byte taken: perhaps it does not read at all
    GATHER_FACTOR = 8, // times its bound, at most
    STILL_PART = 4,    // of the hold time, for a peer that takes nothing
    PACE_MS = 100,     // of waiting, before its pace is judged
    PACE_SLACK = 2,    // it may be so many times as fast as it looks
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
    nmq_free(link->wait);
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

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t
nmq_link_unkept(const nmq_link *link)
{
    return smaller(link->outbox.unkept + link->sending_unkept, nmq_link_backlog(link));
}

size_t
nmq_link_answers(const nmq_link *link)
{
    size_t put = (size_t) link->outbox.answers + link->sending_answers;

    return smaller(put, nmq_link_backlog(link));
}

static bool
is_over(const nmq_link *link, size_t max_bytes)
{
    return !link->stuck && !link->closed &&
           (nmq_link_unkept(link) > max_bytes || link->load >= NMQ_LOAD_FULL);
}

void
nmq_link_moved(nmq_link *link, size_t bytes, int64_t now_ms)
{
    nmq_link_wait *wait = __atomic_load_n(&link->wait, __ATOMIC_ACQUIRE);

    if (wait != NULL) {
        (void) __atomic_add_fetch(&wait->sent, bytes, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&link->moved_ms, now_ms, __ATOMIC_RELAXED);
}

int64_t
nmq_link_still_ms(const nmq_link *link, int64_t from_ms, int64_t now_ms)
{
    int64_t moved_ms = __atomic_load_n(&link->moved_ms, __ATOMIC_RELAXED);

    return now_ms - (moved_ms > from_ms ? moved_ms : from_ms);
}

// How long a peer may stand still. Acknowledgements may have a long way; but nobody waits
// for a link that has gathered all that it may.
static int64_t
still_max_ms(const nmq_link *link, const nmq_patience *patience)
{
    size_t unkept = nmq_link_unkept(link);

    if (unkept / GATHER_FACTOR > patience->max_bytes) {
        return STILL_MS;
    }
    return unkept > patience->max_bytes || link->at_limit ? patience->hold_ms / STILL_PART
                                                          : patience->hold_ms;
}

bool
nmq_link_moves(const nmq_link *link, int64_t now_ms)
{
    return nmq_link_still_ms(link, 0, now_ms) < STILL_MS;
}

// Whether it has been over its bound for long, or is far over it while its peer takes some.
static bool
is_to_wait_for(const nmq_link *link, const nmq_patience *patience)
{
    int64_t moved_ms = __atomic_load_n(&link->moved_ms, __ATOMIC_RELAXED);
    bool far = link->load / NMQ_LINK_FAR >= NMQ_LOAD_FULL ||
               nmq_link_unkept(link) / NMQ_LINK_FAR > patience->max_bytes;

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
    int64_t still = nmq_link_still_ms(link, link->over_ms, now_ms);
    if (link->patience_ms != 0) {
        link->stuck = still >= link->patience_ms;
        return link->stuck ? NMQ_PACE_STUCK : NMQ_PACE_SLOW;
    }
    if (still >= still_max_ms(link, patience)) {
        link->stuck = true;
        return NMQ_PACE_STUCK;
    }
    return still < STILL_MS && is_to_wait_for(link, patience) ? NMQ_PACE_SLOW
                                                              : NMQ_PACE_FINE;
}

nmq_link_wait *
nmq_link_waits(nmq_link *link)
{
    nmq_link_wait *wait = link->wait;

    if (wait == NULL && (wait = nmq_zalloc(sizeof *wait)) != NULL) {
        wait->link = link;
        wait->timer.fire = link->ops->look;
        __atomic_store_n(&link->wait, wait, __ATOMIC_RELEASE);
    }
    return wait;
}

bool
nmq_link_hold(nmq_link *link, nmq_link *reader, const nmq_patience *patience, bool *first)
{
    *first = false;
    (void) pthread_mutex_lock(&link->lock);
    // A link can wait for itself only for bytes: its queue waits for acknowledgements,
    // which it would not read meanwhile.
    bool may = link != reader || nmq_link_unkept(link) > patience->max_bytes;
    bool slow = may && nmq_link_judge(link, patience) == NMQ_PACE_SLOW;
    nmq_link_wait *wait = slow ? nmq_link_waits(link) : NULL;
    if (wait != NULL) {
        *first = wait->held == NULL;
        if (*first) {
            wait->held_ms = patience->now_ms;
            __atomic_store_n(&wait->sent, 0, __ATOMIC_RELAXED);
        }
        reader->next_held = wait->held;
        wait->held = nmq_link_ref(reader);
    }
    (void) pthread_mutex_unlock(&link->lock);
    return wait != NULL;
}

// Whether waiting does not help: what the session keeps goes out too slowly for publishers
// to go on within the hold time.
static bool
is_hopeless(const nmq_link *link, const nmq_patience *patience)
{
    uint64_t waited_ms = (uint64_t) (patience->now_ms - link->wait->held_ms);
    uint64_t sent = __atomic_load_n(&link->wait->sent, __ATOMIC_RELAXED);

    if (nmq_link_unkept(link) > patience->max_bytes || waited_ms < PACE_MS ||
        link->load <= NMQ_LOAD_LOW) {
        return false;
    }
    uint64_t too_many = link->held_bytes / link->load * (link->load - NMQ_LOAD_LOW);
    return sent * PACE_SLACK * patience->hold_ms < too_many * waited_ms;
}

// Whether nobody waits any more, though it is over its bounds.
static bool
is_given_up(const nmq_link *link, const nmq_patience *patience)
{
    int64_t held_ms = link->wait->held_ms;
    int64_t still = nmq_link_still_ms(link, held_ms, patience->now_ms);

    if (link->patience_ms != 0) {
        return still >= link->patience_ms;
    }
    return patience->now_ms - held_ms >= patience->hold_ms || is_hopeless(link, patience) ||
           still >= still_max_ms(link, patience);
}

enum nmq_pace
nmq_link_look(nmq_link *link, const nmq_patience *patience)
{
    enum nmq_pace pace = NMQ_PACE_FINE;

    const nmq_link_wait *wait = link->wait; // whose timer it is

    if (wait->held != NULL && is_over(link, patience->max_bytes)) {
        link->stuck = is_given_up(link, patience);
        pace = link->stuck ? NMQ_PACE_STUCK : NMQ_PACE_SLOW;
    }
    return pace;
}

void
nmq_link_relieve(nmq_link *link, size_t max_bytes, bool always)
{
    nmq_link *held = NULL;

    (void) pthread_mutex_lock(&link->lock);
    bool drained = nmq_link_unkept(link) <= max_bytes / 2 && link->load <= NMQ_LOAD_LOW;
    if (drained) {
        link->stuck = false;
        link->over_ms = 0;
    }
    if (link->wait != NULL && (drained || always)) {
        held = link->wait->held;
        link->wait->held = NULL;
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
