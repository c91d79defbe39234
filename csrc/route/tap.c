#include "route/tap.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "route/feed_record.h"
#include "route/subscriptions.h"

enum {
    STEP_MESSAGES = 16,   // taken from the store at once
    TAKE_VISITS = 4096,   // of its nodes, for one call
    TAKE_BYTES = 1 << 16, // of retained messages, for one call
};

void
nmq_taps_init(nmq_taps *taps, nmq_sessions *sessions)
{
    *taps = (nmq_taps){.sessions = sessions};
    (void) pthread_mutex_init(&taps->lock, NULL);
}

static void
end_retained(const nmq_taps *taps, nmq_tap *tap)
{
    nmq_retained_close(taps->sessions->router->retained, tap->cursor);
    nmq_feed_unref(tap->before);
    tap->cursor = NULL;
    tap->before = NULL;
}

void
nmq_taps_fini(nmq_taps *taps)
{
    for (size_t i = 0; i < taps->count; i++) {
        end_retained(taps, &taps->at[i]);
        nmq_client_unref(taps->at[i].client);
    }
    nmq_free(taps->at);
    (void) pthread_mutex_destroy(&taps->lock);
}

static int
add(nmq_taps *taps, const nmq_tap *tap)
{
    (void) pthread_mutex_lock(&taps->lock);
    nmq_tap *grown = nmq_vec_grow(taps->at, &taps->cap, taps->count + 1, 1, sizeof *grown);
    if (grown != NULL) {
        taps->at = grown;
        grown[taps->count++] = *tap;
        nmq_watch_readers(&taps->sessions->router->watch, 1);
    }
    (void) pthread_mutex_unlock(&taps->lock);
    return grown != NULL ? NMQ_OK : NMQ_ENOMEM;
}

// Call with the lock.
static nmq_tap *
find(const nmq_taps *taps, uint64_t number)
{
    for (size_t i = 0; i < taps->count; i++) {
        if (taps->at[i].client->number == number) {
            return &taps->at[i];
        }
    }
    return NULL;
}

static bool
take(nmq_taps *taps, uint64_t number, nmq_tap *out)
{
    (void) pthread_mutex_lock(&taps->lock);
    nmq_tap *tap = find(taps, number);
    if (tap != NULL) {
        *out = *tap;
        *tap = taps->at[--taps->count];
        nmq_watch_readers(&taps->sessions->router->watch, -1);
    }
    (void) pthread_mutex_unlock(&taps->lock);
    return tap != NULL;
}

// Subscribes, and stands at the begin of the retained messages, which are those of then:
// what is retained later comes as it is published. Returns NMQ_OK or NMQ_ENOMEM.
static int
begin(nmq_taps *taps, nmq_tap *tap, const nmq_filter *filter)
{
    nmq_router *router = taps->sessions->router;
    int rv = nmq_subscriptions_put(router, tap->client, filter, tap->options, 0);

    if (rv < 0) {
        return NMQ_ENOMEM;
    }
    if (filter->group.at != NULL) {
        return NMQ_OK;
    }
    tap->cursor = nmq_retained_open(router->retained, filter->filter);
    return tap->cursor != NULL ? nmq_feed_new(SIZE_MAX, false, &tap->before) : NMQ_ENOMEM;
}

int
nmq_taps_open(nmq_taps *taps, nmq_bytes filter, uint8_t qos, uint64_t *number,
              nmq_feed **feed)
{
    nmq_sessions *sessions = taps->sessions;
    nmq_filter parsed;
    // A tap sees the RETAIN flag as it was published.
    nmq_tap tap = {.options = (uint8_t) (qos | NMQ_SUB_RETAIN_AS_PUBLISHED)};

    if (qos > 2 || !nmq_utf8_check(filter) || nmq_filter_parse(filter, &parsed) != NMQ_OK) {
        return qos > 2 ? NMQ_EINVAL : NMQ_EFILTER;
    }
    tap.client = nmq_client_new(&sessions->registry.counts, nmq_bytes_of("tap"));
    if (tap.client == NULL) {
        return NMQ_ENOMEM;
    }
    int rv = nmq_feed_new(NMQ_FEED_BYTES, true, &tap.client->feed);
    // Among the taps first: the next message may be for it, and says who sent it.
    rv = rv == NMQ_OK ? add(taps, &tap) : rv;
    if (rv != NMQ_OK) {
        nmq_sessions_end(sessions, tap.client);
        return rv;
    }
    rv = begin(taps, &tap, &parsed);
    (void) pthread_mutex_lock(&taps->lock);
    *find(taps, tap.client->number) = tap;
    (void) pthread_mutex_unlock(&taps->lock);
    if (rv != NMQ_OK) {
        (void) nmq_taps_close(taps, tap.client->number);
        return rv;
    }
    *number = tap.client->number;
    *feed = nmq_feed_ref(tap.client->feed);
    return NMQ_OK;
}

// Takes the next retained messages out of the store, as far as one call goes.
static void
fill(nmq_router *router, nmq_tap *tap)
{
    nmq_message *messages[STEP_MESSAGES];
    int64_t now_ms = nmq_clock_now_ms();
    uint32_t visits = TAKE_VISITS;

    while (visits > 0 && !nmq_retain_is_over(tap->cursor) &&
           nmq_feed_bytes(tap->before) < TAKE_BYTES) {
        int count = nmq_retained_step(router->retained, tap->cursor, now_ms, &visits,
                                      messages, STEP_MESSAGES);
        for (int i = 0; i < count; i++) {
            nmq_message_parts parts = nmq_message_parts_of(messages[i]);
            if (nmq_rules_allow_retained(router->rules, messages[i])) {
                (void) nmq_feed_put_message(tap->before, &parts, NMQ_FEED_RETAINED, now_ms);
            }
            nmq_message_unref(messages[i]);
        }
    }
}

int
nmq_taps_retained(nmq_taps *taps, uint64_t number, nmq_chunk **out)
{
    int rv = NMQ_ENOENT;

    (void) pthread_mutex_lock(&taps->lock);
    nmq_tap *tap = find(taps, number);
    if (tap != NULL && tap->cursor == NULL) {
        *out = NULL;
        rv = 0;
    } else if (tap != NULL) {
        if (nmq_feed_bytes(tap->before) == 0) {
            fill(taps->sessions->router, tap);
        }
        *out = nmq_feed_take(tap->before);
        rv = nmq_feed_bytes(tap->before) > 0 || !nmq_retain_is_over(tap->cursor);
        if (rv == 0) {
            end_retained(taps, tap);
        }
    }
    (void) pthread_mutex_unlock(&taps->lock);
    return rv;
}

int
nmq_taps_close(nmq_taps *taps, uint64_t number)
{
    nmq_tap tap;

    if (!take(taps, number, &tap)) {
        return NMQ_ENOENT;
    }
    end_retained(taps, &tap);
    nmq_sessions_end(taps->sessions, tap.client);
    return NMQ_OK;
}

int
nmq_taps_retained_message(nmq_taps *taps, nmq_bytes topic_name, nmq_chunk **out)
{
    nmq_feed *feed = NULL;
    nmq_message *message = nmq_retained_get(taps->sessions->router->retained, topic_name);

    *out = NULL;
    if (message == NULL) {
        return NMQ_OK;
    }
    int rv = nmq_feed_new(SIZE_MAX, false, &feed);
    if (rv == NMQ_OK) {
        const nmq_message_parts parts = nmq_message_parts_of(message);
        bool put =
            nmq_feed_put_message(feed, &parts, NMQ_FEED_RETAINED, nmq_clock_now_ms());
        *out = nmq_feed_take(feed);
        rv = put ? NMQ_OK : NMQ_ENOMEM;
    }
    nmq_feed_unref(feed);
    nmq_message_unref(message);
    return rv;
}
