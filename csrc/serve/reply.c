#include "serve/reply.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/answer.h"
#include "net/linger.h"
#include "serve/log.h"

uint32_t
nmq_reply_max_bytes(const nmq_server_conn *conn)
{
    uint32_t bound = NMQ_LIVE(conn->net.conns->options->send_packet_max_bytes);

    return conn->client_max_bytes < bound ? conn->client_max_bytes : bound;
}

int
nmq_reply_put(nmq_server_conn *conn, nmq_batch *batch, nmq_bytes bytes)
{
    return nmq_answer_put(&conn->net, batch, bytes, false);
}

// A transient error ends the connection whose packet met it [MQTT-4.8.0-2 of 3.1.1].
enum nmq_next
nmq_reply_no_memory(nmq_server_conn *conn)
{
    nmq_log_write(conn->net.conns->log, NMQ_LOG_ERROR, "%s: closed, out of memory",
                  nmq_conn_name(&conn->net).text);
    nmq_conn_set_end(&conn->net, (nmq_fault){NMQ_RC_UNSPECIFIED_ERROR, "out of memory"});
    return NMQ_NEXT_END;
}

nmq_fault
nmq_reply_unlogged(int may_log)
{
    return may_log == NMQ_ENOSPC
               ? (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "there is no room to keep it"}
               : (nmq_fault){NMQ_RC_IMPLEMENTATION_SPECIFIC,
                             "what is to be kept cannot be written any more"};
}

// Encodes the packet, without its Reason String if that must not be sent. Returns NMQ_OK,
// NMQ_ENOMEM or NMQ_ETOOBIG.
static int
encode(const nmq_server_conn *conn, nmq_packet *packet, nmq_buf *out)
{
    const uint32_t max_bytes = nmq_reply_max_bytes(conn);
    const uint64_t reason_string = UINT64_C(1) << NMQ_PROP_REASON_STRING;

    if (!conn->problem_info && packet->type != NMQ_CONNACK &&
        packet->type != NMQ_DISCONNECT) { // [MQTT-3.1.2-29]
        packet->props.present &= ~reason_string;
    }
    int rv = nmq_encode(out, conn->net.version, packet);
    if (rv == NMQ_OK && out->len > max_bytes) {
        // There are no User Properties of our own [MQTT-3.2.2-20] [MQTT-3.4.2-3]
        // [MQTT-3.5.2-3] [MQTT-3.6.2-3] [MQTT-3.7.2-3] [MQTT-3.9.2-2] [MQTT-3.11.2-2]
        // [MQTT-3.14.2-4] [MQTT-3.15.2-3], and PUBREL, PUBCOMP and AUTH have no Reason
        // String [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.15.2-2]. The others:
        // [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1]
        // [MQTT-3.14.2-3] and [MQTT-3.1.2-24] for what is left
        out->len = 0;
        packet->props.present &= ~reason_string;
        rv = nmq_encode(out, conn->net.version, packet);
    }
    return rv == NMQ_OK && out->len > max_bytes ? NMQ_ETOOBIG : rv;
}

enum nmq_next
nmq_reply_packet(nmq_server_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_buf bytes = {0};
    int rv = encode(conn, packet, &bytes);

    if (rv == NMQ_OK) {
        bool is_ack = packet->type != NMQ_DISCONNECT && packet->type != NMQ_CONNACK &&
                      packet->type != NMQ_AUTH;
        rv = nmq_answer_put(&conn->net, batch, (nmq_bytes){bytes.at, bytes.len}, is_ack);
    }
    nmq_buf_free(&bytes);
    if (rv == NMQ_ETOOBIG && packet->reason_code < NMQ_RC_UNSPECIFIED_ERROR) {
        return nmq_reply_refuse(conn, batch, (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, NULL});
    }
    return rv == NMQ_OK || rv == NMQ_ETOOBIG ? NMQ_NEXT_PACKET : nmq_reply_no_memory(conn);
}

enum nmq_next
nmq_reply_ack(nmq_server_conn *conn, nmq_batch *batch, uint8_t type, uint16_t packet_id,
              nmq_fault how)
{
    uint8_t bytes[NMQ_ACK_MAX_BYTES];

    if (how.why != NULL) {
        nmq_packet ack = {.type = type, .packet_id = packet_id, .reason_code = how.code};
        nmq_props_set_text(&ack.props, NMQ_PROP_REASON_STRING, nmq_bytes_of(how.why));
        return nmq_reply_packet(conn, batch, &ack);
    }
    // It fits any Maximum Packet Size that the CONNACK did.
    uint8_t *end = nmq_encode_ack(bytes, conn->net.version, type, packet_id, how.code);
    int rv =
        nmq_answer_put(&conn->net, batch, (nmq_bytes){bytes, (size_t) (end - bytes)}, true);
    return rv == NMQ_OK ? NMQ_NEXT_PACKET : nmq_reply_no_memory(conn);
}

// Before 5.0 the faults of a CONNECT that have an answer are those that a return code
// stands for (3.1.1, 3.2.2.3).
// Where none fits, the connection is only closed [MQTT-3.2.2-6 of 3.1.1].
static bool
may_say(const nmq_server_conn *conn, uint8_t reason_code)
{
    if (conn->net.version == NMQ_V5) {
        return true;
    }
    return !nmq_conn_state_is_open(conn->state) && reason_code != NMQ_RC_MALFORMED_PACKET &&
           reason_code != NMQ_RC_PROTOCOL_ERROR &&
           (conn->net.version != 0 || reason_code == NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION);
}

enum nmq_next
nmq_reply_refuse(nmq_server_conn *conn, nmq_batch *batch, nmq_fault fault)
{
    bool open = nmq_conn_state_is_open(conn->state);
    // a listener that closes while its client is judged: CONNACK has no word for that
    uint8_t code = open || nmq_reason_is_of_connack(fault.code) ? fault.code
                                                                : NMQ_RC_SERVER_UNAVAILABLE;
    // Session Present is 0 [MQTT-3.2.2-6], the code one that CONNACK or DISCONNECT has
    // [MQTT-3.2.2-8]; no Session Expiry Interval [MQTT-3.14.2-2]
    nmq_packet packet = {
        .type = open ? NMQ_DISCONNECT : NMQ_CONNACK, // [MQTT-3.14.0-1]
        .reason_code = code,
    };

    if (open) {
        nmq_conn_set_end(&conn->net, fault);
    } else {
        nmq_log_refused(conn, fault);
    }
    if (fault.why != NULL) {
        nmq_props_set_text(&packet.props, NMQ_PROP_REASON_STRING, nmq_bytes_of(fault.why));
    }
    if (may_say(conn, fault.code)) { // [MQTT-4.13.2-1] [MQTT-3.1.4-2]
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_CONNACK_ERRORS, !open);
        (void) nmq_reply_packet(conn, batch, &packet);
        (void) pthread_mutex_lock(&conn->net.link.lock);
        nmq_linger_allow(&conn->net);
        (void) pthread_mutex_unlock(&conn->net.link.lock);
    }
    // Nothing more is read [MQTT-3.1.4-6], and the connection is closed [MQTT-3.1.4-1]
    // [MQTT-3.2.2-7] [MQTT-3.14.4-2].
    nmq_server_conn_set_state(conn, NMQ_CONN_CLOSING);
    return NMQ_NEXT_END;
}
