#include "route/tap.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "route/replay.h"
#include "route/subscriptions.h"

void
nmq_taps_init(nmq_taps *taps, nmq_sessions *sessions)
{
    *taps = (nmq_taps){.sessions = sessions};
    (void) pthread_mutex_init(&taps->lock, NULL);
}

void
nmq_taps_fini(nmq_taps *taps)
{
    for (size_t i = 0; i < taps->count; i++) {
        nmq_client_unref(taps->at[i]);
    }
    nmq_free(taps->at);
    (void) pthread_mutex_destroy(&taps->lock);
}

static int
add(nmq_taps *taps, nmq_client *tap)
{
    (void) pthread_mutex_lock(&taps->lock);
    nmq_client **grown =
        nmq_vec_grow(taps->at, &taps->cap, taps->count + 1, 1, sizeof *grown);
    if (grown != NULL) {
        taps->at = grown;
        grown[taps->count++] = tap;
    }
    (void) pthread_mutex_unlock(&taps->lock);
    return grown != NULL ? NMQ_OK : NMQ_ENOMEM;
}

static nmq_client *
take(nmq_taps *taps, uint64_t number)
{
    nmq_client *tap = NULL;

    (void) pthread_mutex_lock(&taps->lock);
    for (size_t i = 0; i < taps->count && tap == NULL; i++) {
        if (taps->at[i]->number == number) {
            tap = taps->at[i];
            taps->at[i] = taps->at[--taps->count];
        }
    }
    (void) pthread_mutex_unlock(&taps->lock);
    return tap;
}

int
nmq_taps_open(nmq_taps *taps, nmq_bytes filter, uint8_t qos, uint64_t *number)
{
    nmq_sessions *sessions = taps->sessions;
    nmq_filter parsed;
    // A tap sees the RETAIN flag as it was published.
    uint8_t options = (uint8_t) (qos | NMQ_SUB_RETAIN_AS_PUBLISHED);

    if (qos > 2 || !nmq_utf8_check(filter) || nmq_filter_parse(filter, &parsed) != NMQ_OK) {
        return qos > 2 ? NMQ_EINVAL : NMQ_EFILTER;
    }
    nmq_client *tap = nmq_client_new(&sessions->registry.counts, nmq_bytes_of("tap"));
    if (tap == NULL) {
        return NMQ_ENOMEM;
    }
    tap->is_tap = true;
    *number = tap->number;
    int rv = nmq_subscriptions_put(sessions->router, tap, &parsed, options, 0);
    if (rv >= 0) {
        rv = add(taps, tap);
    }
    if (rv < 0) {
        nmq_sessions_end(sessions, tap);
        return rv;
    }
    if (parsed.group.at == NULL) {
        nmq_replay_to_tap(sessions->router, tap, parsed.filter, options);
    }
    return NMQ_OK;
}

int
nmq_taps_close(nmq_taps *taps, uint64_t number)
{
    nmq_client *tap = take(taps, number);

    if (tap == NULL) {
        return NMQ_ENOENT;
    }
    nmq_sessions_end(taps->sessions, tap);
    return NMQ_OK;
}
