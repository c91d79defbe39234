#include "net/acks.h"

#include "base/live.h"
#include "base/status.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "store/session_acks.h"

bool
nmq_acks_release(nmq_conn *conn, nmq_batch *batch, uint16_t packet_id)
{
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    bool known = nmq_session_released(client->session, packet_id);
    nmq_durable_answer(batch, client);
    (void) pthread_mutex_unlock(&client->lock);
    if (!known) {
        nmq_counters_add(conn->conns->counters, NMQ_COUNT_PUBREL_MISSED, 1);
    }
    return known;
}

// An acknowledgement whose identifier awaits another packet, or is not in use.
static void
count_unexpected(const nmq_conn *conn, uint8_t type, bool in_use)
{
    unsigned which =
        type == NMQ_PUBACK   ? (in_use ? NMQ_COUNT_PUBACK_IN_USE : NMQ_COUNT_PUBACK_MISSED)
        : type == NMQ_PUBREC ? (in_use ? NMQ_COUNT_PUBREC_IN_USE : NMQ_COUNT_PUBREC_MISSED)
        : in_use             ? NMQ_COUNT_PUBCOMP_IN_USE
                             : NMQ_COUNT_PUBCOMP_MISSED;

    nmq_counters_add(conn->conns->counters, which, 1);
}

int
nmq_acks_take(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_client *client = conn->client;
    nmq_link *link = &conn->link;
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&client->lock);
    if (client->link == link) { // else taken over: the state is another connection's now
        nmq_session *session = client->session;
        (void) pthread_mutex_lock(&link->lock);
        rv = nmq_session_acked(
            session, &link->outbox, packet->type, packet->packet_id, packet->reason_code,
            NMQ_LIVE(conn->conns->options->outbox_max_bytes), batch->now_ms);
        nmq_deliver_count(batch, client);
        nmq_deliver_note(session, link);
        nmq_durable_await(client, link);
        if (link->outbox.total > 0 || link->pump_due) {
            nmq_batch_touch(batch, link);
        }
        (void) pthread_mutex_unlock(&link->lock);
        conn->acked = true;
        nmq_link_moved(link, 0, batch->now_ms);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (rv == NMQ_EINVAL || rv == NMQ_ENOENT) {
        count_unexpected(conn, packet->type, rv == NMQ_EINVAL);
    }
    return rv;
}
