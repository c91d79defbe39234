#include "route/link.h"

#include <stddef.h>

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

bool
nmq_link_is_congested(const nmq_link *link, size_t max_bytes)
{
    return !link->stuck && !link->closed &&
           (nmq_link_backlog(link) > max_bytes || link->queue_full);
}

bool
nmq_link_hold(nmq_link *link, nmq_link *reader, size_t max_bytes, bool *first)
{
    (void) pthread_mutex_lock(&link->lock);
    bool wait = nmq_link_is_congested(link, max_bytes);
    *first = wait && link->held == NULL;
    if (wait) {
        reader->next_held = link->held;
        link->held = nmq_link_ref(reader);
    }
    (void) pthread_mutex_unlock(&link->lock);
    return wait;
}

void
nmq_link_relieve(nmq_link *link, size_t max_bytes, bool always)
{
    nmq_link *held = NULL;

    (void) pthread_mutex_lock(&link->lock);
    bool drained = nmq_link_backlog(link) <= max_bytes / 2 && !link->queue_full;
    if (drained) {
        link->stuck = false;
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
