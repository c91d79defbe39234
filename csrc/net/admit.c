// admit.c - CONNECT: who comes in, with which session, and what CONNACK says
// (MQTT 5.0, 3.1).
#include <stdio.h>
#include <sys/random.h>

#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "mqtt/varint.h"
#include "net/conn.h"

enum { ASSIGNED_ID_BYTES = 24, KEEP_ALIVE_MIN_PERMILLE = 1500 };

static int
make_will(const nmq_connect *c, int64_t now_ms, nmq_message **out)
{
    nmq_buf scratch = {0};
    nmq_message_parts parts = {
        .topic_name = c->will_topic,
        .payload = c->will_payload,
        .qos = c->will_qos,
        .retain = c->will_retain,
    };

    *out = NULL;
    if (!c->has_will) {
        return NMQ_OK;
    }
    if (c->version == NMQ_V5) {
        parts.expires_at_ms = nmq_conn_expires_at(&c->will_props, now_ms);
        if (nmq_conn_forwarded(&c->will_props, &scratch, &parts.props) != NMQ_OK) {
            nmq_buf_free(&scratch);
            return NMQ_ENOMEM;
        }
    }
    *out = nmq_message_new(&parts);
    nmq_buf_free(&scratch);
    return *out != NULL ? NMQ_OK : NMQ_ENOMEM;
}

// What nmq_registry_attach calls back with.
typedef struct {
    nmq_conn *conn;
    nmq_packet connack;
} admission;

static int
accept_link(void *arg, bool session_present)
{
    admission *a = arg;
    nmq_buf bytes = {0};

    a->connack.session_present = session_present; // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    int rv = nmq_encode(&bytes, a->conn->version, &a->connack);
    if (rv == NMQ_OK) {
        rv = nmq_outbox_put(&a->conn->link.outbox, (nmq_bytes){bytes.at, bytes.len});
    }
    nmq_buf_free(&bytes);
    return rv;
}

// What the server tells of itself in a 5.0 CONNACK (3.2.2.3).
static void
announce(const nmq_conn *conn, nmq_props *props, uint32_t asked_expiry_s, uint32_t expiry_s)
{
    const nmq_options *options = conn->conns->options;

    if (options->window < UINT16_MAX) {
        nmq_props_set_number(props, NMQ_PROP_RECEIVE_MAXIMUM, options->window);
    }
    if (options->packet_max_bytes < NMQ_VARINT_MAX + 5) {
        nmq_props_set_number(props, NMQ_PROP_MAXIMUM_PACKET_SIZE,
                             options->packet_max_bytes);
    }
    if (options->topic_alias_max > 0) {
        nmq_props_set_number(props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM, options->topic_alias_max);
    }
    if (expiry_s != asked_expiry_s) {
        nmq_props_set_number(props, NMQ_PROP_SESSION_EXPIRY_INTERVAL, expiry_s);
    }
}

static uint32_t
smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// 3.1 and 3.1.1 keep a session for ever or not at all.
static uint32_t
asked_expiry(const nmq_connect *c, const nmq_props *props)
{
    if (c->version == NMQ_V5) {
        return nmq_props_number(props, NMQ_PROP_SESSION_EXPIRY_INTERVAL,
                                0); // [MQTT-3.1.2-23]
    }
    return c->clean_start ? 0 : UINT32_MAX;
}

static void
assign_id(char text[ASSIGNED_ID_BYTES + 1])
{
    uint64_t draw[2] = {0};

    (void) !getrandom(draw, sizeof draw, 0);
    (void) snprintf(text, ASSIGNED_ID_BYTES + 1, "nanomq-%017llx",
                    (unsigned long long) (draw[0] ^ draw[1] >> 1));
}

// A client that stays silent for one and a half times its keep alive is gone
// [MQTT-3.1.2-22]; keep_alive_permille can only make that longer.
static uint32_t
idle_limit_ms(const nmq_conn *conn, uint16_t keep_alive_s)
{
    uint32_t permille = conn->conns->options->keep_alive_permille;

    return keep_alive_s *
           (permille < KEEP_ALIVE_MIN_PERMILLE ? KEEP_ALIVE_MIN_PERMILLE : permille);
}

static enum nmq_next
admit(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_router *router = conn->conns->router;
    const nmq_options *options = conn->conns->options;
    const nmq_connect *c = &packet->connect;
    admission adm = {.conn = conn, .connack = {.type = NMQ_CONNACK}};
    uint32_t asked_s = asked_expiry(c, &packet->props);
    char assigned[ASSIGNED_ID_BYTES + 1];
    nmq_attach attach = {
        .client_id = c->client_id,
        .user_name = c->has_user_name ? c->user_name : (nmq_bytes){0},
        .link = &conn->link,
        .peer = conn->peer,
        .expiry_interval_s = smaller(asked_s, options->expiry_max_s),
        .receive_maximum = UINT16_MAX,
        .packet_max = options->send_packet_max_bytes,
        .keep_alive_s = c->keep_alive_s,
        .version = c->version,
        .clean_start = c->clean_start,
        .accept = accept_link,
        .arg = &adm,
    };
    nmq_client *client = NULL;

    if (c->client_id.len == 0) { // [MQTT-3.1.3-6]
        assign_id(assigned);
        attach.client_id = nmq_bytes_of(assigned);
    }
    if (c->version == NMQ_V5) {
        announce(conn, &adm.connack.props, asked_s, attach.expiry_interval_s);
        if (c->client_id.len == 0) { // [MQTT-3.1.3-7]
            nmq_props_set_text(&adm.connack.props, NMQ_PROP_ASSIGNED_CLIENT_IDENTIFIER,
                               attach.client_id);
        }
        attach.receive_maximum =
            nmq_props_number(&packet->props, NMQ_PROP_RECEIVE_MAXIMUM, UINT16_MAX);
        attach.packet_max = smaller(
            nmq_props_number(&packet->props, NMQ_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX),
            attach.packet_max);
        attach.will_delay_s =
            nmq_props_number(&c->will_props, NMQ_PROP_WILL_DELAY_INTERVAL, 0);
    }
    // The tree may change and wills go out: not inside a lane.
    nmq_batch_end(batch);
    int rv = make_will(c, batch->now_ms, &attach.will);
    if (rv == NMQ_OK) {
        rv = nmq_registry_attach(router, &attach, &client);
    }
    nmq_batch_again(batch);
    if (rv != NMQ_OK) {
        return nmq_conn_no_memory(conn);
    }
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->client = client;
    nmq_batch_touch(batch, &conn->link);
    (void) pthread_mutex_unlock(&conn->link.lock);
    conn->state = NMQ_CONN_OPEN;
    nmq_conn_set_idle(conn, idle_limit_ms(conn, c->keep_alive_s));
    nmq_log_write(&router->log, NMQ_LOG_DEBUG, "%s: client '%.*s' connected", conn->peer,
                  (int) attach.client_id.len, (const char *) attach.client_id.at);
    return NMQ_NEXT_PACKET;
}

// Returns 0, or the Reason Code that refuses what no user could be allowed.
static uint8_t
check_connect(const nmq_conn *conn, const nmq_packet *packet)
{
    const nmq_connect *c = &packet->connect;

    if (nmq_props_has(&packet->props, NMQ_PROP_AUTHENTICATION_METHOD)) {
        return NMQ_RC_BAD_AUTHENTICATION_METHOD; // [MQTT-4.12.0-1]
    }
    if (c->client_id.len == 0 &&
        (c->version == NMQ_V31 || (c->version == NMQ_V311 && !c->clean_start))) {
        return NMQ_RC_CLIENT_ID_NOT_VALID; // 3.1.1: [MQTT-3.1.3-8]
    }
    if (!nmq_conn_properties_fit(conn, &packet->props) ||
        (c->has_will && c->version == NMQ_V5 &&
         !nmq_conn_properties_fit(conn, &c->will_props))) {
        return NMQ_RC_QUOTA_EXCEEDED;
    }
    if (c->has_will && !nmq_conn_levels_fit(conn, c->will_topic)) {
        return NMQ_RC_TOPIC_NAME_INVALID;
    }
    return NMQ_RC_SUCCESS;
}

enum nmq_next
nmq_conn_handle_connect(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    uint8_t refused = NMQ_RC_SUCCESS;

    if (conn->state == NMQ_CONN_NEW) {
        __atomic_store_n(&conn->version, packet->connect.version, __ATOMIC_RELAXED);
        refused = check_connect(conn, packet);
    }
    if (refused == NMQ_RC_SUCCESS && conn->conns->options->ask_auth && !conn->answered) {
        // Read again, as a first CONNECT, when the answer has come.
        conn->state = NMQ_CONN_DECIDING;
        __atomic_store_n(&conn->version, 0, __ATOMIC_RELAXED);
        return NMQ_NEXT_WAIT;
    }
    __atomic_store_n(&conn->version, packet->connect.version, __ATOMIC_RELAXED);
    if (conn->answered) {
        refused = conn->answer;
    }
    if (refused != NMQ_RC_SUCCESS) {
        nmq_log_write(&conn->conns->router->log, NMQ_LOG_INFO, "%s: refused: %s",
                      conn->peer, nmq_reason_text(refused));
        return nmq_conn_refuse_connect(conn, batch, refused); // [MQTT-3.1.4-2]
    }
    return admit(conn, batch, packet);
}
