#include "route/will.h"

#include "route/rights.h"

void
nmq_will_drop(nmq_client *client)
{
    nmq_message_unref(client->will.message);
    client->will = (nmq_will){0};
    client->will_due_ms = 0;
}

nmq_will
nmq_will_take(nmq_client *client)
{
    nmq_rights_judge_will(client);
    nmq_will will = client->will;
    client->will = (nmq_will){0};
    client->will_due_ms = 0;
    return will;
}

void
nmq_will_publish(nmq_router *router, const nmq_client *client, const nmq_will *will)
{
    if (will->message == NULL) {
        return;
    }
    if (will->expires) {
        // Sent as the Message Expiry Interval of the publication: neither the time that the
        // client was connected nor the delay counts (3.1.3.2.4).
        nmq_message_parts parts = nmq_message_parts_of(will->message);
        parts.expires_at_ms = nmq_clock_now_ms() + (int64_t) will->expiry_s * 1000;
        (void) nmq_router_publish_parts(router, client, &parts);
    } else {
        (void) nmq_router_publish_message(router, client, will->message);
    }
    nmq_message_unref(will->message);
}
