#include "serve/acks.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "serve/reply.h"
#include "store/session_acks.h"

enum nmq_next
nmq_acks_handle_pubrel(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    nmq_client *client = net->client;

    (void) pthread_mutex_lock(&client->lock);
    bool known = nmq_session_released(client->session, packet->packet_id);
    nmq_durable_answer(batch, client);
    (void) pthread_mutex_unlock(&client->lock);
    if (!known) {
        nmq_counters_add(net->conns->counters, NMQ_COUNT_PUBREL_MISSED, 1);
    }
    return nmq_reply_ack(
        conn, batch, NMQ_PUBCOMP, packet->packet_id, // [MQTT-4.3.3-11]
        (nmq_fault){known ? NMQ_RC_SUCCESS : NMQ_RC_PACKET_ID_NOT_FOUND, NULL});
}

// An acknowledgement whose identifier awaits another packet, or is not in use.
static void
count_unexpected(const nmq_server_conn *conn, uint8_t type, bool in_use)
{
    unsigned which =
        type == NMQ_PUBACK   ? (in_use ? NMQ_COUNT_PUBACK_IN_USE : NMQ_COUNT_PUBACK_MISSED)
        : type == NMQ_PUBREC ? (in_use ? NMQ_COUNT_PUBREC_IN_USE : NMQ_COUNT_PUBREC_MISSED)
        : in_use             ? NMQ_COUNT_PUBCOMP_IN_USE
                             : NMQ_COUNT_PUBCOMP_MISSED;

    nmq_counters_add(conn->net.conns->counters, which, 1);
}

// PUBACK, PUBREC, PUBCOMP.
enum nmq_next
nmq_acks_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    nmq_client *client = net->client;
    nmq_link *link = &conn->net.link;
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&client->lock);
    if (client->link == link) { // else taken over: the state is another connection's now
        nmq_session *session = client->session;
        (void) pthread_mutex_lock(&link->lock);
        rv = nmq_session_acked(
            session, &link->outbox, packet->type, packet->packet_id, packet->reason_code,
            NMQ_LIVE(conn->net.conns->options->outbox_max_bytes), batch->now_ms);
        nmq_deliver_count(batch, client);
        nmq_deliver_note(session, link);
        nmq_durable_await(client, link);
        if (link->outbox.total > 0 || link->pump_due) {
            nmq_batch_touch(batch, link);
        }
        (void) pthread_mutex_unlock(&link->lock);
        conn->net.acked = true;
        nmq_link_moved(link, 0, batch->now_ms);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (rv == NMQ_EINVAL || rv == NMQ_ENOENT) {
        count_unexpected(conn, packet->type, rv == NMQ_EINVAL);
    }
    if (rv == NMQ_EINVAL) { // a Protocol Error [MQTT-4.13.1-1]
        return nmq_reply_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "an acknowledgement of the wrong kind"});
    }
    // An unknown identifier is no fault: the state may be gone since (4.3.2, 4.3.3).
    return rv == NMQ_ENOMEM ? nmq_reply_no_memory(conn) : NMQ_NEXT_PACKET;
}
