#include "route/shortage.h"

#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "store/session_log.h"

enum { SHORT_WINDOW = 16 };

uint16_t
nmq_shortage_window(uint8_t memory)
{
    switch (memory) {
    case NMQ_MEMORY_FINE: return 0;
    case NMQ_MEMORY_SHORT: return SHORT_WINDOW;
    default: return 1;
    }
}

// Whether the subscription's session would take the message without keeping more than a
// little.
static bool
takes(const nmq_batch *batch, const nmq_subscription *sub, const nmq_message_parts *parts)
{
    nmq_client *client = sub->client;
    uint8_t qos = nmq_deliver_qos(parts->qos, sub->options);

    if (client->feed != NULL || qos == 0) {
        return true; // at QoS 0 it may be dropped
    }
    (void) pthread_mutex_lock(&client->lock);
    nmq_link *link = client->link;
    if (link != NULL) {
        (void) pthread_mutex_lock(&link->lock);
    }
    const nmq_outbox *outbox = link != NULL && !link->closed ? &link->outbox : NULL;
    bool refuses = nmq_session_refuses(client->session, outbox, qos, parts->payload.len,
                                       batch->short_window);
    if (link != NULL) {
        (void) pthread_mutex_unlock(&link->lock);
    }
    (void) pthread_mutex_unlock(&client->lock);
    return !refuses;
}

static bool
one_takes(const nmq_batch *batch, const nmq_subscriptions *members,
          const nmq_message_parts *parts)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (takes(batch, &members->at[i], parts)) {
            return true;
        }
    }
    return members->count == 0;
}

bool
nmq_shortage_takes_all(const nmq_batch *batch, const nmq_client *from,
                       const nmq_message_parts *parts, const nmq_matches *matches)
{
    for (uint32_t i = 0; i < matches->found->count; i++) {
        const nmq_subscription *sub = &matches->found->at[i];
        if (!nmq_deliver_is_own(from, sub) && !takes(batch, sub, parts)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < matches->group_count; i++) {
        if (!one_takes(batch, matches->groups[i]->members, parts)) {
            return false;
        }
    }
    return true;
}

static bool
logs(const nmq_client *from, const nmq_subscription *sub, uint8_t qos)
{
    nmq_client *client = sub->client;

    if (client->feed != NULL || nmq_deliver_qos(qos, sub->options) == 0 ||
        nmq_deliver_is_own(from, sub)) {
        return false;
    }
    (void) pthread_mutex_lock(&client->lock);
    bool logged = nmq_session_is_logged(client->session);
    (void) pthread_mutex_unlock(&client->lock);
    return logged;
}

static bool
one_logs(const nmq_client *from, const nmq_subscriptions *subs, uint8_t qos)
{
    for (uint32_t i = 0; i < subs->count; i++) {
        if (logs(from, &subs->at[i], qos)) {
            return true;
        }
    }
    return false;
}

bool
nmq_shortage_is_logged(int may_log, const nmq_client *from, const nmq_message_parts *parts,
                       const nmq_matches *matches)
{
    bool found = parts->retain && !nmq_topic_is_sys(parts->topic_name) &&
                 (parts->payload.len > 0 || may_log == NMQ_ESTORE);

    found = found || one_logs(from, matches->found, parts->qos);
    for (uint32_t i = 0; i < matches->group_count && !found; i++) {
        found = one_logs(NULL, matches->groups[i]->members, parts->qos);
    }
    return found;
}
