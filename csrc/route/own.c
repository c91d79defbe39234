#include "route/own.h"

#include "base/clock.h"
#include "base/status.h"
#include "route/batch.h"
#include "route/durable.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "store/session_subs.h"

int
nmq_own_subscribe(nmq_consumers *consumers, nmq_client *client, const nmq_filter *filter,
                  uint8_t options, uint32_t identifier)
{
    nmq_router *router = consumers->sessions->router;
    uint32_t visits = NMQ_REPLAY_VISITS;
    nmq_batch batch;
    int rv = nmq_subscriptions_put(router, client, filter, options, identifier);

    if (rv >= 0) {
        nmq_batch_begin(&batch, router, NULL, nmq_clock_now_ms());
        nmq_replay_begin(&batch, client, filter, options, identifier, rv > 0, &visits);
        nmq_batch_end(&batch);
        nmq_link_unref(batch.congested);
    }
    return rv < 0 ? rv : NMQ_OK;
}

// From the last one down: what ends has the last put in its place, which was looked at.
int
nmq_own_unsubscribe(nmq_consumers *consumers, nmq_client *client,
                    bool (*keeps)(const void *arg, nmq_bytes filter), const void *arg)
{
    const nmq_session *session = client->session;

    for (uint32_t i = session->sub_count; i > 0; i--) {
        nmq_session_sub ends = session->subs[i - 1];
        if (keeps(arg, ends.text)) {
            continue;
        }
        // the list's own text goes with the subscription
        if (nmq_bytes_copy(session->subs[i - 1].text, &ends.text) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        const nmq_filter filter = nmq_session_sub_filter(&ends);
        (void) nmq_subscriptions_del(consumers->sessions->router, client, &filter,
                                     NMQ_WHY_PROGRAM);
        nmq_bytes_free(&ends.text);
    }
    return NMQ_OK;
}

// Its end is logged, and it is out of the list. Call with the list's lock. Returns its
// client, whose reference is the caller's.
static nmq_client *
take_out(nmq_consumers *consumers, nmq_consumer *consumer, nmq_link **link)
{
    nmq_client *client = consumer->client;
    bool has_inbox = client->consumes && client->link != NULL;

    (void) pthread_mutex_lock(&client->lock);
    *link = has_inbox ? nmq_consumer_detach(consumer) : NULL;
    nmq_durable_ended(client);
    (void) pthread_mutex_unlock(&client->lock);
    return nmq_consumers_remove(consumers, consumer);
}

bool
nmq_own_forget(nmq_consumers *consumers, nmq_bytes name, bool bridges)
{
    nmq_link *link = NULL;
    nmq_client *client = NULL;

    (void) pthread_mutex_lock(&consumers->lock);
    nmq_consumer *consumer = nmq_consumers_find(consumers, name);
    if (consumer != NULL && consumer->client->bridges == bridges) {
        client = take_out(consumers, consumer, &link);
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    if (client == NULL) {
        return false;
    }
    if (link != NULL) {
        nmq_consumers_end_link(consumers, link);
    }
    nmq_replay_forget(consumers->sessions->router->retained, client);
    nmq_sessions_end(consumers->sessions, client);
    return true;
}
