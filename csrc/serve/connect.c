// connect.c - what refuses a CONNECT before anybody asks whose it is (MQTT 5.0, 3.1).
#include "base/live.h"
#include "mqtt/reason.h"
#include "mqtt/sys_topic.h"
#include "net/conn.h"

enum {
    STRICT_ID_BYTES = 23,
    SHORT_WILL_BYTES = 1024, // of a will, while memory is short
};

// 1 to 23 letters and digits are always allowed [MQTT-3.1.3-5]; more is up to the server.
static bool
is_strict_id(nmq_bytes id)
{
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9')) {
            return false;
        }
    }
    return id.len <= STRICT_ID_BYTES;
}

static nmq_fault
check_client_id(const nmq_conn *conn, const nmq_connect *c)
{
    const nmq_options *options = conn->conns->options;
    uint32_t max = NMQ_LIVE(options->client_id_max_bytes);

    if (max != 0 && c->client_id.len > max) {
        nmq_counters_add(conn->conns->counters, NMQ_COUNT_REFUSED_CLIENT_IDS, 1);
        return (nmq_fault){NMQ_RC_CLIENT_ID_NOT_VALID, "the client identifier is too long"};
    }
    if (c->client_id.len == 0 &&
        (!NMQ_LIVE(options->empty_client_ids) || c->version == NMQ_V31 ||
         (c->version == NMQ_V311 && !c->clean_start))) { // [MQTT-3.1.3-8 of 3.1.1]
        return (nmq_fault){NMQ_RC_CLIENT_ID_NOT_VALID, "a client identifier is required"};
    }
    if (NMQ_LIVE(options->strict_client_ids) &&
        !is_strict_id(c->client_id)) { // [MQTT-3.1.3-8]
        return (nmq_fault){NMQ_RC_CLIENT_ID_NOT_VALID,
                           "a client identifier has 1 to 23 letters and digits"};
    }
    return (nmq_fault){0};
}

static size_t
will_bytes(const nmq_connect *c)
{
    return c->will_topic.len + c->will_payload.len + c->will_props.raw.len;
}

// Whether memory is too short for that will; counted. Who has a session may come back to
// it, but not with more than it had.
static bool
is_memory_short(const nmq_conn *conn, const nmq_connect *c)
{
    nmq_router *router = conn->conns->router;
    uint8_t memory = NMQ_LIVE(*router->memory);
    bool is_short = memory != NMQ_MEMORY_FINE && will_bytes(c) > SHORT_WILL_BYTES;

    nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_REFUSED, is_short);
    return is_short;
}

// Whether the CONNECT, but for its will, is over max_connect_size; counted.
static bool
is_too_large(const nmq_conn *conn, const nmq_packet *packet)
{
    const nmq_connect *c = &packet->connect;
    uint32_t max = NMQ_LIVE(conn->conns->options->connect_max_bytes);
    bool over = max != 0 && packet->wire.len - will_bytes(c) > max;

    nmq_counters_add(conn->conns->counters, NMQ_COUNT_CONNECTS_TOO_LARGE, over);
    return over;
}

nmq_fault
nmq_conn_check_connect(const nmq_conn *conn, const nmq_packet *packet)
{
    const nmq_connect *c = &packet->connect;
    nmq_fault fault = check_client_id(conn, c);

    if (is_too_large(conn, packet)) {
        fault = (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, "CONNECT is too large"};
    }
    if (fault.code == 0 && is_memory_short(conn, c)) {
        fault = (nmq_fault){NMQ_RC_SERVER_UNAVAILABLE, "memory is short"};
    }
    if (fault.code == 0 && (!nmq_conn_properties_fit(conn, &packet->props) ||
                            (c->has_will && c->version == NMQ_V5 &&
                             !nmq_conn_properties_fit(conn, &c->will_props)))) {
        fault = (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many User Properties"};
    }
    if (fault.code == 0 && c->has_will) {
        fault = nmq_conn_check_message(conn, c->will_topic, c->will_qos, c->will_retain);
    }
    if (fault.code == 0 && c->has_will && nmq_topic_is_sys(c->will_topic)) {
        fault = (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "$SYS topics are the broker's"};
    }
    return fault;
}
