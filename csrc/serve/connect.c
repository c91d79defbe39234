#include "serve/connect.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "mqtt/sys_topic.h"
#include "mqtt/wire.h"
#include "serve/access.h"
#include "serve/admit.h"
#include "serve/ask.h"
#include "serve/banned.h"
#include "serve/bounds.h"
#include "serve/exchange.h"
#include "serve/inbound.h"
#include "serve/negotiated.h"
#include "serve/reply.h"
#include "serve/tell.h"

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
check_client_id(const nmq_server_conn *conn, const nmq_connect *c)
{
    const nmq_options *options = conn->net.conns->options;
    uint32_t max = NMQ_LIVE(options->client_id_max_bytes);

    if (max != 0 && c->client_id.len > max) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_REFUSED_CLIENT_IDS, 1);
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

// Whether memory is too short for that will; counted. A client may come back to its
// session, but not with more than it had.
static bool
is_memory_short(const nmq_server_conn *conn, const nmq_connect *c)
{
    nmq_router *router = conn->net.conns->router;
    uint8_t memory = NMQ_LIVE(*router->memory);
    bool is_short = memory != NMQ_MEMORY_FINE && will_bytes(c) > SHORT_WILL_BYTES;

    nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_REFUSED, is_short);
    return is_short;
}

// Whether the CONNECT without its will is over max_connect_size; counted.
static bool
is_too_large(const nmq_server_conn *conn, const nmq_packet *packet)
{
    const nmq_connect *c = &packet->connect;
    uint32_t max = NMQ_LIVE(conn->net.conns->options->connect_max_bytes);
    bool over = max != 0 && packet->wire.len - will_bytes(c) > max;

    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_CONNECTS_TOO_LARGE, over);
    return over;
}

// Returns what refuses a CONNECT that no user could be allowed; code 0: nothing.
static nmq_fault
check(const nmq_server_conn *conn, const nmq_packet *packet)
{
    const nmq_connect *c = &packet->connect;
    nmq_bytes user_name = c->has_user_name ? c->user_name : (nmq_bytes){0};
    nmq_fault fault = nmq_banned_check(conn, c->client_id, user_name);

    if (fault.code != 0) { // as little as possible is done for it
        return fault;
    }
    fault = check_client_id(conn, c);
    if (is_too_large(conn, packet)) {
        fault = (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, "CONNECT is too large"};
    }
    if (fault.code == 0 && is_memory_short(conn, c)) {
        fault = (nmq_fault){NMQ_RC_SERVER_UNAVAILABLE, "memory is short"};
    }
    if (fault.code == 0 && (!nmq_bounds_properties_fit(conn, &packet->props) ||
                            (c->has_will && c->version == NMQ_V5 &&
                             !nmq_bounds_properties_fit(conn, &c->will_props)))) {
        fault = (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many User Properties"};
    }
    if (fault.code == 0 && c->has_will) {
        fault = nmq_inbound_check(conn, c->will_topic, c->will_qos, c->will_retain);
    }
    if (fault.code == 0 && c->has_will && nmq_topic_is_sys(c->will_topic)) {
        nmq_tell_denied(conn, NMQ_WHY_WILL, c->will_topic);
        fault = (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "$SYS topics are the broker's"};
    }
    return fault;
}

// Takes the user's name from what TLS has proved. A certificate that no known CA signed is
// refused, and so is a name that no user can have.
// Returns NMQ_OK, NMQ_ENOENT when nothing is proved, NMQ_EACCESS or NMQ_ENOMEM.
static int
take_peer_name(nmq_server_conn *conn)
{
    char name[NMQ_PEER_NAME_BYTES];
    int rv = conn->net.stream->ops->peer_name(conn->net.stream,
                                              conn->net.settings->user_name_from, name);

    if (rv != NMQ_OK) {
        return rv;
    }
    return nmq_utf8_check(nmq_bytes_of(name)) ? nmq_exchange_prove(conn, nmq_bytes_of(name))
                                              : NMQ_EACCESS;
}

// Takes the listener's settings of now, instead of those of the accept: a client could take
// its time with the CONNECT.
static void
use_settings_of_now(nmq_server_conn *conn)
{
    // before it asks
    conn->users_version =
        (uint32_t) nmq_rules_users_version(conn->net.conns->router->rules);
    nmq_admit_renew_settings(conn);
}

static enum nmq_next
handle_connect(nmq_server_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_negotiated_set(conn);
    use_settings_of_now(conn);
    __atomic_store_n(&conn->net.version, packet->connect.version, __ATOMIC_RELAXED);
    conn->client_max_bytes =
        nmq_props_number(&packet->props, NMQ_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    conn->bridge = packet->connect.bridge;
    conn->problem_info =
        nmq_props_number(&packet->props, NMQ_PROP_REQUEST_PROBLEM_INFORMATION, 1) == 1;
    nmq_fault fault = check(conn, packet);
    if (fault.code != 0) {
        // [MQTT-3.1.4-2] [MQTT-3.3.5-2 of 3.1.1]
        return nmq_reply_refuse(conn, batch, fault);
    }
    int proved = take_peer_name(conn);
    if (proved == NMQ_ENOMEM) {
        return nmq_reply_no_memory(conn);
    }
    if (proved == NMQ_EACCESS) {
        fault = (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "its certificate is not valid"};
        nmq_tell_auth_failed(conn, fault);
        return nmq_reply_refuse(conn, batch, fault);
    }
    // Python refuses a method that it does not know [MQTT-4.12.0-1]
    if ((conn->net.settings->ask_auth && proved != NMQ_OK) ||
        nmq_props_has(&packet->props, NMQ_PROP_AUTHENTICATION_METHOD)) {
        return nmq_exchange_ask(conn, batch, packet);
    }
    enum nmq_next next = nmq_admit(conn, batch, packet);
    nmq_exchange_free(conn->exchange);
    conn->exchange = NULL;
    return next;
}

enum nmq_next
nmq_connect_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);

    conn->connect = &packet->connect;
    enum nmq_next next = handle_connect(conn, batch, packet);
    conn->connect = NULL;
    if (next == NMQ_NEXT_LATER) { // it is handled again as the first
        __atomic_store_n(&net->version, 0, __ATOMIC_RELAXED);
    } else {
        nmq_ask_end(conn);
    }
    return next;
}
