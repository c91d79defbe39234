#include "route/handover_client.h"

#include "base/status.h"

static int
copy(nmq_bytes text, nmq_bytes *out)
{
    return text.at != NULL ? nmq_bytes_copy(text, out) : NMQ_OK;
}

// What is left of the messages once those at QoS 1 and 2 are taken off.
static uint64_t
at_qos0(uint64_t all, uint64_t qos1, uint64_t qos2)
{
    uint64_t others = qos1 + qos2;

    return all > others ? all - others : 0;
}

static nmq_client_traffic
traffic_of(const nmq_session_record *r)
{
    return (nmq_client_traffic){
        .bytes_in = r->bytes_in,
        .bytes_out = r->bytes_out,
        .packets_in = r->packets_in,
        .packets_out = r->packets_out,
        .messages_in = {at_qos0(r->messages_received, r->qos1_in, r->qos2_in), r->qos1_in,
                        r->qos2_in},
        .messages_out = {at_qos0(r->messages_sent, r->qos1_out, r->qos2_out), r->qos1_out,
                         r->qos2_out},
        .dropped = r->messages_dropped,
        .dropped_full = r->dropped_full,
        .dropped_expired = r->dropped_expired,
        .dropped_too_large = r->dropped_too_large,
    };
}

static void
fill_client(const nmq_objects *objects, nmq_client *c, const nmq_session_record *record)
{
    c->expiry_due_ms = nmq_handover_due(objects, record->expires_at_ms);
    c->created_at_ms =
        record->created_at_ms != 0 ? record->created_at_ms : record->connected_at_ms;
    c->connected_at_ms = record->connected_at_ms;
    c->disconnected_at_ms = record->disconnected_at_ms;
    c->traffic = traffic_of(record);
    c->expiry_interval_s = record->expiry_interval_s;
    c->keep_alive_s = record->keep_alive_s;
    c->version = record->version;
    c->clean_start = record->clean_start != 0;
    c->proof = record->proof;
    c->superuser = record->superuser != 0;
    c->unlogged = record->unlogged != 0;
    c->listener_key = record->listener_key;
    c->session->version = record->version;
    c->session->client_packet_max = record->client_packet_max;
    c->session->receive_maximum = record->receive_maximum;
    c->session->queue_max = record->queue_max;
    c->session->queue_max_bytes = record->queue_max_bytes;
    c->session->inflight.next_order = record->next_order;
    c->session->inflight.last_id = record->last_id;
}

int
nmq_handover_fill(const nmq_objects *objects, nmq_client *client,
                  const nmq_session_record *record)
{
    fill_client(objects, client, record);
    if (!nmq_handover_peer(record->address, record->port, &client->peer)) {
        return NMQ_EMALFORMED;
    }
    return copy(record->user_name, &client->user_name) == NMQ_OK &&
                   copy(record->mount, &client->session->mount) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

bool
nmq_handover_is_connected(const nmq_session_record *record)
{
    return record->expires_at_ms == 0 &&
           (record->expiry_interval_s != UINT32_MAX ||
            record->disconnected_at_ms < record->connected_at_ms);
}
