#include "route/watch.h"

#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/vec.h"

enum {
    ALL_KINDS = 0
#define EVENT(ID, name, fields, help) | 1 << NMQ_EVENT_##ID
#include "events.def"
};

// Of a session, whose client is the owner, and has its lock taken.
static void
tell_of_session(nmq_observer *observer, const void *owner, const nmq_session_event *event)
{
    const nmq_who who = nmq_client_who(owner);
    nmq_event told = {
        .kind = event->kind,
        .why = event->why,
        .who = &who,
        .message = event->message,
    };

    memcpy(told.numbers, event->numbers, sizeof event->numbers);
    nmq_watch_tell((nmq_watch *) (void *) observer, &told);
}

void
nmq_watch_init(nmq_watch *watch, nmq_counters *counters)
{
    *watch = (nmq_watch){.observer = {.tell = tell_of_session}, .counters = counters};
    (void) pthread_mutex_init(&watch->lock, NULL);
}

void
nmq_watch_fini(nmq_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++) {
        nmq_feed_unref(watch->at[i].feed);
    }
    nmq_free(watch->at);
    (void) pthread_mutex_destroy(&watch->lock);
}

// Brings `wanted` up to date. Call with the lock.
static void
want(nmq_watch *watch)
{
    uint32_t wanted = watch->readers > 0 ? NMQ_WATCH_READERS : 0;

    for (size_t i = 0; i < watch->count; i++) {
        wanted |= watch->at[i].kinds;
    }
    NMQ_LIVE_SET(watch->observer.wanted, wanted);
}

int
nmq_watch_open(nmq_watch *watch, uint32_t kinds, uint64_t *number, nmq_feed **feed)
{
    if (kinds == 0 || (kinds & ~(uint32_t) ALL_KINDS) != 0) {
        return NMQ_EINVAL;
    }
    int rv = nmq_feed_new(NMQ_FEED_BYTES, true, feed);
    if (rv != NMQ_OK) {
        return rv;
    }
    (void) pthread_mutex_lock(&watch->lock);
    nmq_watcher *grown =
        nmq_vec_grow(watch->at, &watch->cap, watch->count + 1, 1, sizeof *grown);
    if (grown != NULL) {
        watch->at = grown;
        *number = ++watch->last_number;
        grown[watch->count++] = (nmq_watcher){nmq_feed_ref(*feed), *number, kinds};
        want(watch);
    }
    (void) pthread_mutex_unlock(&watch->lock);
    if (grown == NULL) {
        nmq_feed_unref(*feed);
        return NMQ_ENOMEM;
    }
    return NMQ_OK;
}

int
nmq_watch_close(nmq_watch *watch, uint64_t number)
{
    nmq_feed *feed = NULL;

    (void) pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->count && feed == NULL; i++) {
        if (watch->at[i].number == number) {
            feed = watch->at[i].feed;
            watch->at[i] = watch->at[--watch->count];
        }
    }
    want(watch);
    (void) pthread_mutex_unlock(&watch->lock);
    nmq_feed_unref(feed);
    return feed != NULL ? NMQ_OK : NMQ_ENOENT;
}

void
nmq_watch_readers(nmq_watch *watch, int change)
{
    (void) pthread_mutex_lock(&watch->lock);
    watch->readers += (uint32_t) change;
    want(watch);
    (void) pthread_mutex_unlock(&watch->lock);
}

void
nmq_watch_tell(nmq_watch *watch, const nmq_event *event)
{
    if (!nmq_watch_wants(watch, event->kind)) {
        return;
    }
    (void) pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->count; i++) {
        if ((watch->at[i].kinds >> event->kind & 1) != 0 &&
            !nmq_feed_put_event(watch->at[i].feed, event)) {
            nmq_counters_add(watch->counters, NMQ_COUNT_EVENTS_DROPPED, 1);
        }
    }
    (void) pthread_mutex_unlock(&watch->lock);
}

void
nmq_watch_tell_of(nmq_watch *watch, nmq_client *client, nmq_event *event)
{
    if (client->feed != NULL || !nmq_watch_wants(watch, event->kind)) {
        return;
    }
    (void) pthread_mutex_lock(&client->lock);
    const nmq_who who = nmq_client_who(client);
    event->who = &who;
    nmq_watch_tell(watch, event);
    event->who = NULL;
    (void) pthread_mutex_unlock(&client->lock);
}
