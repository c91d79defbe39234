#include "route/client.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "base/peak.h"

nmq_client *
nmq_client_new(nmq_client_counts *counts, nmq_bytes client_id)
{
    static uint64_t last_number;
    nmq_client *client = nmq_zalloc(sizeof *client);

    if (client == NULL) {
        return NULL;
    }
    client->session = nmq_session_new(client_id);
    if (client->session == NULL) {
        nmq_free(client);
        return NULL;
    }
    client->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
    client->counts = counts;
    client->refs = 1;
    (void) pthread_mutex_init(&client->lock, NULL);
    (void) pthread_mutex_init(&client->moving, NULL);
    return client;
}

nmq_client *
nmq_client_ref(nmq_client *client)
{
    (void) __atomic_add_fetch(&client->refs, 1, __ATOMIC_RELAXED);
    return client;
}

void
nmq_client_unref(nmq_client *client)
{
    if (client == NULL || __atomic_sub_fetch(&client->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    nmq_link_unref(client->link);
    nmq_message_unref(nmq_client_set_will(client, (nmq_will){0}).message);
    nmq_session_free(client->session);
    nmq_feed_unref(client->feed);
    nmq_acl_unref(client->own);
    nmq_bytes_free(&client->user_name);
    (void) pthread_mutex_destroy(&client->lock);
    (void) pthread_mutex_destroy(&client->moving);
    nmq_free(client);
}

nmq_who
nmq_client_who(const nmq_client *client)
{
    return (nmq_who){
        .client_id = client->session->client_id,
        .user_name = client->user_name,
        .peer = &client->peer,
        .listener_key = client->listener_key,
    };
}

static uint64_t
will_bytes(const nmq_will *will)
{
    return will->message != NULL ? nmq_message_size(will->message) : 0;
}

nmq_will
nmq_client_set_will(nmq_client *client, nmq_will will)
{
    nmq_will before = client->will;
    uint64_t more = will_bytes(&will) - will_bytes(&before);

    client->will = will;
    if (more != 0) {
        (void) __atomic_add_fetch(&client->counts->will_bytes, more, __ATOMIC_RELAXED);
    }
    return before;
}

static void
count_in(uint64_t *total, uint64_t *most, bool *counted, bool counts)
{
    if (*counted != counts) {
        *counted = counts;
        uint64_t now = __atomic_add_fetch(total, counts ? 1 : UINT64_MAX, __ATOMIC_RELAXED);
        if (counts) {
            nmq_peak_raise(most, now);
        }
    }
}

void
nmq_client_count(nmq_client *client)
{
    nmq_client_counts *counts = client->counts;
    bool connected = client->link != NULL && !nmq_client_is_own(client);

    count_in(&counts->connected, &counts->connected_max, &client->counted_connected,
             connected);
    count_in(&counts->subscribers, &counts->subscribers_max, &client->counted_subscriber,
             connected && client->subscribed);
}

void
nmq_client_count_subscriptions(nmq_client *client)
{
    bool subscribed = client->session->sub_count > 0;

    if (client->subscribed != subscribed) {
        (void) pthread_mutex_lock(&client->lock);
        client->subscribed = subscribed;
        nmq_client_count(client);
        (void) pthread_mutex_unlock(&client->lock);
    }
}

static void
add(uint64_t *to, uint64_t more)
{
    if (more != 0) {
        (void) __atomic_add_fetch(to, more, __ATOMIC_RELAXED);
    }
}

void
nmq_client_count_in(nmq_client *client, uint32_t bytes, uint64_t packets,
                    const uint32_t messages[3])
{
    nmq_client_traffic *traffic = &client->traffic;

    add(&traffic->bytes_in, bytes);
    add(&traffic->packets_in, packets);
    for (int qos = 0; qos < 3; qos++) {
        add(&traffic->messages_in[qos], messages[qos]);
    }
}

void
nmq_client_count_out(nmq_client *client, size_t bytes, uint32_t packets)
{
    add(&client->traffic.bytes_out, bytes);
    add(&client->traffic.packets_out, packets);
}

void
nmq_client_take_fresh(nmq_client *client, nmq_session_counts *out)
{
    nmq_session_counts *fresh = &client->session->fresh;
    nmq_client_traffic *traffic = &client->traffic;

    for (int qos = 0; qos < 3; qos++) {
        traffic->messages_out[qos] += fresh->messages[qos];
    }
    traffic->dropped += fresh->expired + fresh->too_large + fresh->no_memory + fresh->full;
    traffic->dropped_full += fresh->full;
    traffic->dropped_expired += fresh->expired;
    traffic->dropped_too_large += fresh->too_large;
    *out = *fresh;
    *fresh = (nmq_session_counts){0};
}

void
nmq_client_count_fresh(nmq_client *client, nmq_counters *counters)
{
    nmq_session_counts fresh;

    if (!nmq_client_has_fresh(client)) {
        return;
    }
    nmq_client_take_fresh(client, &fresh);
    for (unsigned qos = 0; qos < 3; qos++) {
        nmq_counters_add(counters, NMQ_COUNT_MESSAGES_QOS0_OUT + qos, fresh.messages[qos]);
    }
    nmq_counters_add(counters, NMQ_COUNT_PUBREL_OUT, fresh.pubrel);
    nmq_counters_add(counters, NMQ_COUNT_DROPPED_EXPIRED, fresh.expired);
    nmq_counters_add(counters, NMQ_COUNT_DROPPED_TOO_LARGE, fresh.too_large);
    nmq_counters_add(counters, NMQ_COUNT_DROPPED_MEMORY, fresh.no_memory);
    nmq_counters_add(counters, NMQ_COUNT_QUEUE_FULL, fresh.full);
}
