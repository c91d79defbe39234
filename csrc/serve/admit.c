#include "serve/admit.h"
#include "route/arrival.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "mqtt/varint.h"
#include "net/timers.h"
#include "serve/access.h"
#include "serve/ask.h"
#include "serve/banned.h"
#include "serve/exchange.h"
#include "serve/inbound.h"
#include "serve/log.h"
#include "serve/mount.h"
#include "serve/negotiated.h"
#include "serve/reply.h"
#include "serve/tell.h"

enum { ASSIGNED_ID_BYTES = 24 };

// Returns NMQ_OK or NMQ_ENOMEM; *will is zeroed.
static int
make_will(nmq_server_conn *conn, const nmq_connect *c, const nmq_attach *attach,
          nmq_will *will)
{
    nmq_buf scratch = {0};
    nmq_message_parts parts = {
        .payload = c->will_payload,
        .qos = c->will_qos,
        // [MQTT-3.1.2-14] [MQTT-3.1.2-15]
        .retain = c->will_retain,
    };

    if (!c->has_will) { // [MQTT-3.1.2-12 of 3.1.1]
        return NMQ_OK;
    }
    parts.origin = nmq_access_origin(conn, attach->client_id, attach->user_name);
    if (parts.origin == NULL ||
        nmq_mount_topic(conn, c->will_topic, &parts.topic_name) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    if (c->version == NMQ_V5) {
        const nmq_props *props = &c->will_props;
        will->delay_s = nmq_props_number(props, NMQ_PROP_WILL_DELAY_INTERVAL, 0);
        will->expires = nmq_props_has(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL);
        will->expiry_s = nmq_props_number(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL, 0);
        // in their order [MQTT-3.1.3-10]
        if (nmq_arrival_properties(props, &scratch, &parts.props) != NMQ_OK) {
            nmq_buf_free(&scratch);
            return NMQ_ENOMEM;
        }
    }
    will->message = nmq_message_new(&parts);
    nmq_buf_free(&scratch);
    return will->message != NULL ? NMQ_OK : NMQ_ENOMEM;
}

// One CONNECT on its way in.
typedef struct {
    nmq_server_conn *conn;
    nmq_attach attach;
    char assigned_id[ASSIGNED_ID_BYTES + 1];
    nmq_packet connack;
    nmq_bytes response_information; // owned; at NULL: none
    nmq_buf who;                    // its User Property, or empty
    nmq_buf bytes;                  // of the CONNACK
    bool session_present;
} admission;

static int
accept_link(void *arg, bool session_present)
{
    admission *a = arg;
    nmq_bytes bytes = {a->bytes.at, a->bytes.len};
    size_t size;

    a->session_present = session_present;
    // The flags are the first byte of the body [MQTT-3.2.2-2] [MQTT-3.2.2-3]; MQTT V3.1 has
    // none.
    a->bytes.at[nmq_decode_size(bytes, &size)] =
        session_present && a->conn->net.version != NMQ_V31;
    nmq_counters_add(a->conn->net.conns->counters, NMQ_COUNT_CONNACK_OUT, 1);
    return nmq_outbox_put(&a->conn->net.link.outbox, bytes); // [MQTT-3.2.0-1]
}

// Copies it for the caller, who frees it; at NULL when there is none or memory is out.
static nmq_bytes
response_information(nmq_server *server)
{
    nmq_bytes copy = {0};

    (void) pthread_mutex_lock(&server->lock);
    if (server->response_information.at != NULL) {
        (void) nmq_bytes_copy(server->response_information, &copy);
    }
    (void) pthread_mutex_unlock(&server->lock);
    return copy;
}

// Fills in what the CONNACK says to this client: what it gets other than it asked for.
static void
fill_connack(admission *a, const nmq_packet *connect, uint32_t asked_expiry_s)
{
    nmq_server_conn *conn = a->conn;
    const nmq_attach *attach = &a->attach;
    nmq_props *props = &a->connack.props;

    nmq_negotiated_announce(&conn->negotiated, props);
    // not to a client that got what it asked for: its own counts then [MQTT-3.2.2-22]
    if (attach->keep_alive_s != connect->connect.keep_alive_s) { // [MQTT-3.2.2-21]
        nmq_props_set_number(props, NMQ_PROP_SERVER_KEEP_ALIVE, attach->keep_alive_s);
    }
    if (attach->expiry_interval_s != asked_expiry_s) {
        nmq_props_set_number(props, NMQ_PROP_SESSION_EXPIRY_INTERVAL,
                             attach->expiry_interval_s);
    }
    if (connect->connect.client_id.len == 0) { // [MQTT-3.1.3-7] [MQTT-3.2.2-16]
        nmq_props_set_text(props, NMQ_PROP_ASSIGNED_CLIENT_IDENTIFIER, attach->client_id);
    }
    if (nmq_props_number(&connect->props, NMQ_PROP_REQUEST_RESPONSE_INFORMATION, 0) == 1) {
        a->response_information = response_information(nmq_server_of(conn));
    }
    if (a->response_information.at != NULL) { // [MQTT-3.1.2-28]
        nmq_props_set_text(props, NMQ_PROP_RESPONSE_INFORMATION, a->response_information);
    }
    if (nmq_trail_of(connect->props.raw).len > 0 && // it is a bridge, and says whose
        nmq_trail_put(&a->who, (nmq_bytes){0}, nmq_router_id(conn->net.conns->router)) ==
            NMQ_OK) {
        props->raw = (nmq_bytes){a->who.at, a->who.len};
        // behind the announcement: what the client is told does not count the property
        conn->negotiated.receive_max_bytes =
            nmq_trail_allow(conn->negotiated.receive_max_bytes);
        a->attach.packet_max = nmq_trail_allow(attach->packet_max);
    }
    nmq_exchange_properties(conn->exchange, props);
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

// A CONNECT that is handled again, after its will was asked about, has the one of before.
static void
assign_id(const nmq_server_conn *conn, char text[ASSIGNED_ID_BYTES + 1])
{
    uint64_t draw[2] = {0};

    if (conn->ask != NULL) {
        const nmq_bytes id = conn->acl->who.client_id;
        (void) snprintf(text, ASSIGNED_ID_BYTES + 1, "%.*s", (int) id.len,
                        (const char *) id.at);
        return;
    }
    (void) !getrandom(draw, sizeof draw, 0);
    (void) snprintf(text, ASSIGNED_ID_BYTES + 1, "nanomq-%017llx",
                    (unsigned long long) (draw[0] ^ draw[1] >> 1));
}

// Fills in what the client gets and is negotiated. Nothing is changed yet.
static void
plan(admission *a, const nmq_packet *packet)
{
    nmq_server_conn *conn = a->conn;
    const nmq_options *options = conn->net.conns->options;
    const nmq_connect *c = &packet->connect;
    uint32_t asked_s = asked_expiry(c, &packet->props);
    nmq_attach *attach = &a->attach;

    *attach = (nmq_attach){
        .client_id = c->client_id,
        .user_name = nmq_access_user_name(conn, c),
        .link = &conn->net.link,
        .peer = &conn->net.stream->peer,
        .listener = conn->net.listener->number,
        .listener_key = conn->net.listener->key,
        .proof = nmq_access_proof(conn),
        .expiry_interval_s = smaller(asked_s, NMQ_LIVE(options->expiry_max_s)),
        .receive_maximum = UINT16_MAX,
        .packet_max = conn->client_max_bytes,
        .keep_alive_s = nmq_negotiated_keep_alive_s(&conn->negotiated, c),
        .version = c->version,
        .clean_start = c->clean_start,
        .unlogged = conn->net.settings->unlogged,
        .superuser = conn->superuser,
        .own = conn->own,
        .accept = accept_link,
        .arg = a,
    };
    if (c->client_id.len == 0) { // [MQTT-3.1.3-6]
        assign_id(conn, a->assigned_id);
        attach->client_id = nmq_bytes_of(a->assigned_id);
    }
    if (c->version != NMQ_V5) {
        return;
    }
    fill_connack(a, packet, asked_s);
    attach->receive_maximum =
        nmq_props_number(&packet->props, NMQ_PROP_RECEIVE_MAXIMUM, UINT16_MAX);
    attach->topic_alias_max = (uint16_t) smaller(
        NMQ_LIVE(options->send_topic_alias_max), // [MQTT-3.1.2-26]
        nmq_props_number(&packet->props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM, 0));
}

static nmq_fault
check_will(nmq_server_conn *conn, const nmq_connect *c, bool *later)
{
    enum nmq_access may = nmq_access_check(
        conn, nmq_acl_publish(c->will_qos, c->will_retain), c->will_topic, 0);
    uint8_t code = nmq_ask_code(conn);

    *later = may == NMQ_ACCESS_LATER;
    if (may != NMQ_ACCESS_DENY) {
        return (nmq_fault){0};
    }
    nmq_tell_denied(conn, NMQ_WHY_WILL, c->will_topic);
    return code != 0 ? (nmq_fault){code, "nobody said whether it may have the will"}
                     : (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "an access rule denies the will"};
}

// Does what can fail without a trace: encodes the CONNACK, complete but for Session
// Present, and looks up the rules for this client. Returns NMQ_OK or NMQ_ENOMEM; *fault
// says what refuses it, *later that its will is to be asked about.
static int
check_plan(admission *a, const nmq_connect *c, nmq_fault *fault, bool *later)
{
    nmq_server_conn *conn = a->conn;

    // again: the user's name may be another one now that it is proved
    *fault = nmq_banned_check(conn, a->attach.client_id, a->attach.user_name);
    if (fault->code != 0) {
        return NMQ_OK;
    }
    int rv = nmq_encode(&a->bytes, conn->net.version, &a->connack);

    if (rv == NMQ_OK) {
        rv = nmq_access_know(conn, a->attach.client_id, a->attach.user_name);
    }
    a->attach.rights = conn->acl;
    a->attach.rights_version = conn->acl_version;
    if (rv == NMQ_OK) {
        rv = nmq_mount_set(conn, a->attach.client_id, a->attach.user_name);
        a->attach.mount = nmq_mount_prefix(conn);
    }
    if (rv == NMQ_ETOPIC) {
        *fault = (nmq_fault){NMQ_RC_CLIENT_ID_NOT_VALID,
                             "its name cannot be part of the mount point"};
        return NMQ_OK;
    }
    if (rv == NMQ_OK && c->has_will &&
        a->attach.mount.len + c->will_topic.len > NMQ_TOPIC_MAX_BYTES) {
        *fault = (nmq_fault){NMQ_RC_TOPIC_NAME_INVALID,
                             "the will's topic is too long below the mount point"};
        return NMQ_OK;
    }
    if (rv != NMQ_OK) {
        return rv;
    }
    if (a->bytes.len > nmq_reply_max_bytes(conn)) {
        *fault = (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, NULL};
    } else if (c->has_will) {
        *fault = check_will(conn, c, later);
    }
    return NMQ_OK;
}

// Finds or makes the session and writes CONNACK.
static int
enter(admission *a, nmq_batch *batch, const nmq_connect *c, nmq_client **client)
{
    // The tree may change and wills go out: not inside a lane.
    nmq_batch_end(batch);
    // the will goes with the session [MQTT-3.1.2-7]
    int rv = make_will(a->conn, c, &a->attach, &a->attach.will);
    if (rv == NMQ_OK) {
        rv = nmq_attach_client(a->conn->net.conns->sessions, &a->attach, client);
    }
    nmq_batch_again(batch);
    return rv;
}

void
nmq_admit_renew_settings(nmq_server_conn *conn)
{
    nmq_listener_settings *old = conn->net.settings;

    conn->net.settings = nmq_listener_now(conn->net.listener);
    nmq_listener_settings_unref(old);
}

// Takes what was answered for the client.
static void
take_answer(nmq_server_conn *conn)
{
    const nmq_exchange *exchange = conn->exchange;

    if (exchange == NULL) {
        return;
    }
    conn->superuser = exchange->superuser;
    nmq_acl_unref(conn->own);
    conn->own = nmq_acl_ref(exchange->own);
    // The answer may have taken long: the mount point of now counts.
    nmq_admit_renew_settings(conn);
}

// From now on it may be silent for so long, and its time may come.
static void
begin_time(nmq_server_conn *conn)
{
    nmq_negotiated_use_keep_alive(conn);
    if (conn->exchange != NULL && conn->exchange->ends_ms != 0) {
        nmq_timers_end_at(&conn->net, conn->exchange->ends_ms);
    }
}

// Returns what ends a client that is in, because its user or a ban has changed meanwhile;
// code 0: nothing. Who ends clients then may have looked before this one was in.
static nmq_fault
check_again(const nmq_server_conn *conn, const nmq_attach *attach)
{
    if (nmq_access_users_changed(conn, attach->proof)) {
        return (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "the users have changed"};
    }
    if (nmq_banned_is(conn, attach->client_id, attach->user_name)) {
        // Banned is no reason of a DISCONNECT (3.14.2.1)
        return (nmq_fault){NMQ_RC_ADMINISTRATIVE_ACTION, "it is banned"};
    }
    return (nmq_fault){0};
}

enum nmq_next
nmq_admit(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    admission a = {.conn = conn, .connack = {.type = NMQ_CONNACK}};
    nmq_client *client = NULL;
    nmq_fault fault = {0};
    bool later = false;

    take_answer(conn);
    plan(&a, packet);
    int rv = check_plan(&a, &packet->connect, &fault, &later);
    if (rv == NMQ_OK && fault.code == 0 && nmq_access_users_changed(conn, a.attach.proof)) {
        // It may be somebody who may come in: the users of now decide when it comes again.
        fault = (nmq_fault){NMQ_RC_SERVER_BUSY, "the users changed while it logged in"};
    }
    if (rv == NMQ_OK && fault.code == 0 && !later) {
        rv = enter(&a, batch, &packet->connect, &client);
    }
    nmq_buf_free(&a.bytes);
    nmq_buf_free(&a.who);
    nmq_free((void *) (uintptr_t) a.response_information.at);
    if (fault.code != 0) {
        return nmq_reply_refuse(conn, batch, fault);
    }
    if (later) {
        return nmq_ask_one(conn, NMQ_ACL_PUBLISH, packet->connect.will_topic);
    }
    if (rv == NMQ_ETOOBIG) {
        return nmq_reply_refuse(conn, batch,
                                (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many sessions"});
    }
    if (rv == NMQ_ESHORT) {
        return nmq_reply_refuse(conn, batch,
                                (nmq_fault){NMQ_RC_SERVER_UNAVAILABLE, "memory is short"});
    }
    if (rv == NMQ_ENOSPC || rv == NMQ_ESTORE) {
        return nmq_reply_refuse(conn, batch, nmq_reply_unlogged(rv));
    }
    if (rv != NMQ_OK) {
        return nmq_reply_no_memory(conn);
    }
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_KEEP_ALIVES_LOWERED,
                     a.attach.keep_alive_s != packet->connect.keep_alive_s);
    nmq_conn_set_client(&conn->net, client);
    (void) pthread_mutex_lock(&client->lock);
    conn->unlogged = client->unlogged;
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_lock(&conn->net.link.lock);
    nmq_batch_touch(batch, &conn->net.link);
    (void) pthread_mutex_unlock(&conn->net.link.lock);
    // CONNACK 0x00 [MQTT-3.1.4-5] is there, and no other comes [MQTT-3.2.0-2]
    nmq_server_conn_set_state(conn, NMQ_CONN_OPEN);
    nmq_log_connected(conn, &a.attach, a.session_present);
    nmq_tell_connected(conn, &a.attach, a.session_present);
    fault = check_again(conn, &a.attach);
    if (fault.code != 0) {
        return nmq_reply_refuse(conn, batch, fault);
    }
    begin_time(conn);
    return NMQ_NEXT_PACKET;
}
