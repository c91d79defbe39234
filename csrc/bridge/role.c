#include "bridge/role.h"

#include <string.h>

#include "base/container.h"
#include "base/live.h"
#include "base/status.h"
#include "bridge/arrive.h"
#include "bridge/join.h"
#include "bridge/tell.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/linger.h"
#include "net/send.h"
#include "net/start.h"
#include "net/timers.h"

static void
set_state(nmq_bridge_conn *conn, enum nmq_client_state state)
{
    NMQ_STEP(nmq_client_state_next, conn->state, state);
    conn->state = state;
    conn->net.packet_types = nmq_client_state_types(state, conn->net.version);
}

static void
blame(nmq_bridge_conn *conn, enum nmq_bridge_cause cause)
{
    __atomic_store_n(&conn->cause, (uint8_t) cause, __ATOMIC_RELAXED);
}

// Appends the packet. Call without a lock.
static int
put(nmq_conn *net, const nmq_packet *packet)
{
    nmq_buf bytes = {0};
    int rv = nmq_encode(&bytes, nmq_conn_version(net), packet);

    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&net->link.lock);
        rv = net->link.closed
                 ? NMQ_ECLOSED
                 : nmq_outbox_put(&net->link.outbox, (nmq_bytes){bytes.at, bytes.len});
        (void) pthread_mutex_unlock(&net->link.lock);
    }
    nmq_buf_free(&bytes);
    return rv;
}

// --- CONNECT

static nmq_connect
connect_of(const nmq_bridge_options *o)
{
    return (nmq_connect){
        .version = o->version,
        .bridge = o->version != NMQ_V5 && o->bridge_bit,
        .clean_start = o->clean_start,
        .keep_alive_s = o->keep_alive_s,
        .client_id = nmq_bridge_slice(o->client_id, o->client_id_len),
        .has_user_name = o->user_name != NULL,
        .user_name = nmq_bridge_slice(o->user_name, o->user_name_len),
        .has_password = o->password != NULL,
        .password = nmq_bridge_slice(o->password, o->password_len),
        .has_will = o->will_topic != NULL,
        .will_topic = nmq_bridge_slice(o->will_topic, o->will_topic_len),
        .will_payload = nmq_bridge_slice(o->will_payload, o->will_payload_len),
        .will_qos = o->will_qos & 3u,
        .will_retain = o->will_retain,
    };
}

static int
say_connect(nmq_bridge_conn *conn)
{
    const nmq_bridge_options *o = &conn->settings->options;
    const nmq_options *options = conn->net.conns->options;
    nmq_packet packet = {.type = NMQ_CONNECT, .connect = connect_of(o)};

    if (o->version == NMQ_V5) {
        if (o->session_expiry_s != 0) {
            nmq_props_set_number(&packet.props, NMQ_PROP_SESSION_EXPIRY_INTERVAL,
                                 o->session_expiry_s);
        }
        nmq_props_set_number(&packet.props, NMQ_PROP_RECEIVE_MAXIMUM,
                             NMQ_LIVE(options->receive_maximum));
        nmq_props_set_number(&packet.props, NMQ_PROP_MAXIMUM_PACKET_SIZE,
                             NMQ_LIVE(options->packet_max_bytes));
    }
    nmq_buf who = {0};
    int rv = o->version == NMQ_V5 ? nmq_trail_put(&who, (nmq_bytes){0},
                                                  nmq_router_id(conn->net.conns->router))
                                  : NMQ_OK;
    packet.props.raw = (nmq_bytes){who.at, who.len};
    rv = rv == NMQ_OK ? put(&conn->net, &packet) : rv;
    nmq_buf_free(&who);
    return rv;
}

// [MQTT-3.1.0-1]. The connection is the bridge's from here on, so that it can be ended.
static void
open_conn(nmq_conn *net, void *arg)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);
    nmq_bridge *bridge = arg;

    conn->bridge = nmq_bridge_ref(bridge);
    conn->settings = nmq_bridge_now(bridge);
    conn->cause = NMQ_BRIDGE_BY_PEER;
    __atomic_store_n(&net->version, conn->settings->options.version, __ATOMIC_RELAXED);
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    nmq_conn *old = bridge->conn;
    bridge->conn = net;
    (void) nmq_link_ref(&net->link);
    bridge->news.state = NMQ_BRIDGE_ASKED;
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
    if (old != NULL) {
        nmq_link_unref(&old->link);
    }
    nmq_timers_set_idle(net, __atomic_load_n(&bridge->timeout_ms, __ATOMIC_RELAXED));
    if (say_connect(conn) == NMQ_OK) {
        set_state(conn, NMQ_CLIENT_ASKED);
        nmq_send_start(net);
    } else { // memory is out
        set_state(conn, NMQ_CLIENT_CLOSING);
        blame(conn, NMQ_BRIDGE_BY_US);
        nmq_conn_set_end(net, (nmq_fault){NMQ_RC_UNSPECIFIED_ERROR, "out of memory"});
        net->stream->ops->close(net->stream);
    }
}

// --- packets of the other broker

// Why it ends the connection, by its own words if it has any.
static void
note_said(nmq_bridge_conn *conn, const nmq_packet *packet, const char *what)
{
    nmq_bytes text = {0};
    size_t at = strlen(what);

    (void) memcpy(conn->said, what, at);
    if (nmq_props_has(&packet->props, NMQ_PROP_REASON_STRING)) {
        text = packet->props.text[NMQ_PROP_REASON_STRING];
    } else {
        text = nmq_bytes_of(nmq_reason_text(packet->reason_code));
    }
    size_t len =
        text.len < sizeof conn->said - 1 - at ? text.len : sizeof conn->said - 1 - at;
    if (len > 0) {
        memcpy(conn->said + at, text.at, len);
    }
    conn->said[at + len] = '\0';
    nmq_conn_set_end(&conn->net, (nmq_fault){packet->reason_code, conn->said});
}

// PINGREQ goes whatever else is sent, so that nobody has to note that [MQTT-3.1.2-20].
static void
arm_ping(nmq_bridge_conn *conn)
{
    int64_t ping_ms = __atomic_load_n(&conn->ping_ms, __ATOMIC_RELAXED);

    if (ping_ms != 0) {
        nmq_conn_arm(&conn->net, &conn->ping, nmq_clock_now_ms() + ping_ms);
    }
}

static void
fire_ping(nmq_timer *timer)
{
    nmq_bridge_conn *conn = NMQ_CONTAINER(timer, nmq_bridge_conn, ping);
    nmq_conn *net = &conn->net;

    if (!nmq_conn_is_closing(net)) {
        (void) put(net, &(nmq_packet){.type = NMQ_PINGREQ});
        nmq_send_start(net);
        arm_ping(conn);
    }
    nmq_link_unref(&net->link); // the timer's
}

// Three PINGREQ in twice the longest silence; its answers show that the other broker is
// there.
static void
begin_time(nmq_bridge_conn *conn, const nmq_packet *connack)
{
    int64_t keep_alive_ms = (int64_t) nmq_props_number(
                                &connack->props, NMQ_PROP_SERVER_KEEP_ALIVE, // 3.2.2.3.14
                                conn->settings->options.keep_alive_s) *
                            1000;

    __atomic_store_n(&conn->ping_ms, keep_alive_ms * 3 / 4, __ATOMIC_RELAXED);
    nmq_timers_set_idle(&conn->net, keep_alive_ms * 3 / 2);
    conn->ping.fire = fire_ping;
    arm_ping(conn);
}

static enum nmq_next
handle_connack(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);

    if (packet->reason_code != NMQ_RC_SUCCESS) {
        note_said(conn, packet, "refused: ");
        set_state(conn, NMQ_CLIENT_CLOSING);
        return NMQ_NEXT_END;
    }
    set_state(conn, NMQ_CLIENT_IN);
    enum nmq_next next = nmq_join(conn, batch, packet);
    if (next != NMQ_NEXT_PACKET) {
        blame(conn, NMQ_BRIDGE_BY_US);
        set_state(conn, NMQ_CLIENT_CLOSING);
        return next;
    }
    begin_time(conn, packet);
    nmq_bridge_tell_up(conn->bridge, packet->session_present);
    nmq_bridge_event_up(conn, packet->session_present);
    return NMQ_NEXT_PACKET;
}

// A subscription that the other broker refuses is told; the others go on.
static enum nmq_next
handle_suback(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    (void) batch;
    for (size_t i = 0; i < packet->list.len; i++) {
        uint8_t code = packet->list.at[i];
        if (code >= NMQ_RC_UNSPECIFIED_ERROR) {
            nmq_bridge_tell_fault(nmq_bridge_conn_of(net)->bridge, NMQ_BRIDGE_BY_SUBACK,
                                  code, "the other broker refuses a subscription");
        }
    }
    return NMQ_NEXT_PACKET;
}

static enum nmq_next
handle_nothing(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    (void) net;
    (void) batch;
    (void) packet;
    return NMQ_NEXT_PACKET;
}

// There is no enhanced authentication, and none was asked for.
static enum nmq_next
handle_auth(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    return net->conns->role->refuse(net, batch, packet,
                                    (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH unasked"});
}

static enum nmq_next
handle_disconnect(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);

    (void) batch;
    note_said(conn, packet, "ended: ");
    set_state(conn, NMQ_CLIENT_CLOSING);
    return NMQ_NEXT_END;
}

// --- what is no packet

static bool
takes_size(const nmq_conn *net, size_t size)
{
    const nmq_bridge_conn *conn = (const nmq_bridge_conn *) (const void *) net;
    uint32_t max = NMQ_LIVE(net->conns->options->packet_max_bytes);

    return size <= (conn->peer_len > 0 ? nmq_trail_allow(max) : max);
}

static enum nmq_next
refuse(nmq_conn *net, nmq_batch *batch, const nmq_packet *packet, nmq_fault fault)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);

    (void) packet;
    fault.why = fault.why != NULL ? fault.why : nmq_reason_text(fault.code);
    nmq_conn_set_end(net, fault);
    blame(conn, NMQ_BRIDGE_BY_US);
    if (net->version == NMQ_V5 && conn->state == NMQ_CLIENT_IN) { // 4.13.1
        (void) put(net, &(nmq_packet){.type = NMQ_DISCONNECT, .reason_code = fault.code});
        (void) pthread_mutex_lock(&net->link.lock);
        nmq_linger_allow(net);
        nmq_batch_touch(batch, &net->link);
        (void) pthread_mutex_unlock(&net->link.lock);
    }
    set_state(conn, NMQ_CLIENT_CLOSING);
    return NMQ_NEXT_END;
}

static void
silent(nmq_conn *net)
{
    bool is_in;

    (void) pthread_mutex_lock(&net->link.lock);
    is_in = net->client != NULL;
    nmq_conn_note_end(
        net, (nmq_fault){NMQ_RC_KEEP_ALIVE_TIMEOUT,
                         is_in ? "the other broker is silent" : "no CONNACK came in time"});
    (void) pthread_mutex_unlock(&net->link.lock);
    blame(nmq_bridge_conn_of(net), NMQ_BRIDGE_BY_US);
    net->stream->ops->close(net->stream);
}

// Before CONNACK there is nobody to say it to.
static void
farewell(nmq_conn *net, uint8_t reason_code)
{
    bool says_why = nmq_conn_version(net) == NMQ_V5 && reason_code != NMQ_RC_SUCCESS;
    uint8_t bytes[3] = {NMQ_DISCONNECT << 4, says_why, reason_code};

    if (net->client != NULL) {
        (void) nmq_outbox_put(&net->link.outbox, (nmq_bytes){bytes, says_why ? 3u : 2u});
        nmq_linger_allow(net); // the other broker reads it, and closes
    }
}

// The session keeps what comes.
static void
leave(nmq_conn *net)
{
    nmq_client *client = net->client;
    bool mine;

    (void) pthread_mutex_lock(&client->lock);
    mine = client->link == &net->link;
    if (mine) {
        client->link = NULL;
        client->disconnected_at_ms = nmq_clock_wall_ms();
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (mine) {
        nmq_link_unref(&net->link);
    }
}

static void
tell_ended(nmq_bridge_conn *conn)
{
    nmq_conn *net = &conn->net;

    (void) pthread_mutex_lock(&net->link.lock);
    nmq_fault end = net->end;
    (void) pthread_mutex_unlock(&net->link.lock);
    uint8_t cause = __atomic_load_n(&conn->cause, __ATOMIC_RELAXED);
    enum nmq_why ended_by = cause == NMQ_BRIDGE_BY_PEER ? NMQ_WHY_PEER : NMQ_WHY_BROKER;
    if (end.why == NULL && end.code == NMQ_RC_SUCCESS && cause == NMQ_BRIDGE_BY_PEER) {
        end.why = "the other broker closed the connection";
        ended_by = NMQ_WHY_NETWORK; // or it has gone
    }
    if (nmq_bridge_tell_down(conn->bridge, (enum nmq_bridge_cause) cause, end.code,
                             end.why)) {
        nmq_bridge_event_down(conn, ended_by, end);
    }
}

static void
closed(nmq_conn *net)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);
    nmq_bridge *bridge = conn->bridge;

    nmq_conn_cancel(net, &conn->ping);
    if (net->client != NULL) {
        leave(net);
    }
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    bool mine = bridge->conn == net;
    bridge->conn = mine ? NULL : bridge->conn;
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
    if (mine) { // else another one has taken its place
        tell_ended(conn);
        nmq_link_unref(&net->link);
    }
}

static void
fini(nmq_conn *net)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);

    nmq_buf_free(&conn->topic);
    nmq_buf_free(&conn->props);
    nmq_origin_unref(conn->origin);
    nmq_bridge_settings_unref(conn->settings);
    nmq_bridge_unref(conn->bridge);
}

void
nmq_bridge_conn_end(nmq_conn *net, uint8_t reason_code)
{
    blame(nmq_bridge_conn_of(net), NMQ_BRIDGE_BY_US);
    nmq_send_disconnect(&net->link, reason_code);
}

const nmq_role nmq_bridge_role = {
    .size = sizeof(nmq_bridge_conn),
    .dials = true,
    .packet =
        {
            [NMQ_CONNACK] = handle_connack,
            [NMQ_PUBLISH] = nmq_arrive_publish,
            [NMQ_PUBACK] = nmq_arrive_ack,
            [NMQ_PUBREC] = nmq_arrive_ack,
            [NMQ_PUBREL] = nmq_arrive_pubrel,
            [NMQ_PUBCOMP] = nmq_arrive_ack,
            [NMQ_SUBACK] = handle_suback,
            [NMQ_UNSUBACK] = handle_nothing,
            [NMQ_PINGRESP] = handle_nothing,
            [NMQ_DISCONNECT] = handle_disconnect,
            [NMQ_AUTH] = handle_auth,
        },
    .open = open_conn,
    .takes_size = takes_size,
    .refuse = refuse,
    .silent = silent,
    .farewell = farewell,
    .closed = closed,
    .fini = fini,
};
