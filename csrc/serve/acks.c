#include "serve/acks.h"

#include "base/status.h"
#include "mqtt/reason.h"
#include "net/acks.h"
#include "serve/reply.h"

enum nmq_next
nmq_acks_handle_pubrel(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    bool known = nmq_acks_release(net, batch, packet->packet_id);

    return nmq_reply_ack(
        nmq_server_conn_of(net), batch, NMQ_PUBCOMP, packet->packet_id, // [MQTT-4.3.3-11]
        (nmq_fault){known ? NMQ_RC_SUCCESS : NMQ_RC_PACKET_ID_NOT_FOUND, NULL});
}

// PUBACK, PUBREC, PUBCOMP.
enum nmq_next
nmq_acks_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    int rv = nmq_acks_take(net, batch, packet);

    if (rv == NMQ_EINVAL) { // a Protocol Error [MQTT-4.13.1-1]
        return nmq_reply_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "an acknowledgement of the wrong kind"});
    }
    // An unknown identifier is no fault: the state may be gone since (4.3.2, 4.3.3).
    return rv == NMQ_ENOMEM ? nmq_reply_no_memory(conn) : NMQ_NEXT_PACKET;
}
