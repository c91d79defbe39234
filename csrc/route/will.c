#include "route/will.h"

#include "route/durable.h"
#include "route/fanout.h"

static nmq_will
take(nmq_client *client)
{
    nmq_will will = nmq_client_set_will(client, (nmq_will){0});

    client->will_due_ms = 0;
    if (will.message != NULL) {
        nmq_durable_will_ended(client);
    }
    return will;
}

void
nmq_will_drop(nmq_client *client)
{
    nmq_message_unref(take(client).message);
}

void
nmq_will_judge(nmq_router *router, nmq_client *client)
{
    const nmq_session *session = client->session;
    const nmq_acl_subject subject = {session->client_id, client->user_name, &client->peer,
                                     client->superuser, client->own};
    uint64_t version;

    if (client->will.message == NULL ||
        nmq_rules_may_publish(
            router->rules, &subject, session->mount,
            nmq_acl_publish(client->will.message->qos, client->will.message->retain),
            nmq_message_topic(client->will.message), &version)) {
        return;
    }
    nmq_will_drop(client);
    nmq_counters_add(router->counters, NMQ_COUNT_MESSAGES_DENIED, 1);
    nmq_log_write(router->log, NMQ_LOG_INFO,
                  "client '%s': its will is not sent, it is not allowed any more",
                  nmq_log_quoted(session->client_id).text);
}

nmq_will
nmq_will_take(nmq_router *router, nmq_client *client)
{
    nmq_will_judge(router, client);
    return take(client);
}

void
nmq_will_publish(nmq_router *router, const nmq_client *client, const nmq_will *will)
{
    if (will->message == NULL) {
        return;
    }
    nmq_message_parts parts = nmq_message_parts_of(will->message);
    parts.published_ms = nmq_clock_wall_ms();
    if (will->expires) {
        // Sent as the Message Expiry Interval of the publication: neither the time that the
        // client was connected nor the delay counts (3.1.3.2.4).
        parts.expires_at_ms = nmq_clock_now_ms() + (int64_t) will->expiry_s * 1000;
    }
    (void) nmq_fanout_publish_parts(router, client, &parts);
    nmq_message_unref(will->message);
}
