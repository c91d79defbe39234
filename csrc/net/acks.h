// acks.h - acknowledgements that come from a peer: of what its session has sent, and the
// end of QoS 2 for what it sent itself.
//
// Inline: they come with each message, and who handles them does little besides.
//
// Threads  the receive side, inside its batch.
#pragma once
#include "base/live.h"
#include "base/status.h"
#include "net/conn.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "store/session_acks.h"

// Counts one whose identifier awaits another packet, or is not in use.
void nmq_acks_count_unexpected(const nmq_conn *conn, uint8_t type, bool in_use);

// PUBREL has come: the batch's answers wait for that. Returns whether its identifier was in
// use.
static inline bool
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

// Handles PUBACK, PUBREC or PUBCOMP; one that is not expected is counted. Returns as
// nmq_session_acked.
static inline int
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
        nmq_acks_count_unexpected(conn, packet->type, rv == NMQ_EINVAL);
    }
    return rv;
}
