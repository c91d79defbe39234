// admit.c - CONNECT: who comes in, with which session, and what CONNACK says
// (MQTT 5.0, 3.1).
#include <stdio.h>
#include <sys/random.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "mqtt/varint.h"
#include "net/conn_log.h"

enum {
    ASSIGNED_ID_BYTES = 24,
    KEEP_ALIVE_MIN_PERMILLE = 1500,
};

// Returns NMQ_OK or NMQ_ENOMEM; *will is zeroed.
static int
make_will(nmq_conn *conn, const nmq_connect *c, const nmq_attach *attach, nmq_will *will)
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
    if (c->will_retain) {
        parts.origin = nmq_conn_origin(conn, attach->client_id, attach->user_name);
    }
    if ((c->will_retain && parts.origin == NULL) ||
        nmq_conn_mounted(conn, c->will_topic, &parts.topic_name) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    if (c->version == NMQ_V5) {
        const nmq_props *props = &c->will_props;
        will->delay_s = nmq_props_number(props, NMQ_PROP_WILL_DELAY_INTERVAL, 0);
        will->expires = nmq_props_has(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL);
        will->expiry_s = nmq_props_number(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL, 0);
        // in their order [MQTT-3.1.3-10]
        if (nmq_conn_forwarded(props, &scratch, &parts.props) != NMQ_OK) {
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
    nmq_conn *conn;
    nmq_attach attach;
    char assigned_id[ASSIGNED_ID_BYTES + 1];
    nmq_packet connack;
    nmq_bytes response_information; // owned; at NULL: none
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
        session_present && a->conn->version != NMQ_V31;
    return nmq_outbox_put(&a->conn->link.outbox, bytes); // [MQTT-3.2.0-1]
}

void
nmq_conn_tell(nmq_conn *conn)
{
    const nmq_options *options = conn->conns->options;

    conn->told = (nmq_told){
        .packet_max_bytes = NMQ_LIVE(options->packet_max_bytes),
        .receive_maximum = (uint16_t) NMQ_LIVE(options->receive_maximum),
        .topic_alias_max = (uint16_t) NMQ_LIVE(options->topic_alias_max),
        .keep_alive_max_s = (uint16_t) NMQ_LIVE(options->keep_alive_max_s),
        .qos_max = NMQ_LIVE(options->qos_max),
        .retain_available = NMQ_LIVE(options->retain_available),
        .wildcards_available = NMQ_LIVE(options->wildcards_available),
        .shared_available = NMQ_LIVE(options->shared_available),
        .subscription_ids_available = NMQ_LIVE(options->subscription_ids_available),
    };
}

// What the server tells of itself in a 5.0 CONNACK (3.2.2.3).
static void
announce(const nmq_conn *conn, nmq_props *props)
{
    const nmq_told *told = &conn->told;
    const struct {
        enum nmq_prop_id id;
        bool available;
    } features[] = {
        {NMQ_PROP_RETAIN_AVAILABLE, told->retain_available},
        {NMQ_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE, told->wildcards_available},
        {NMQ_PROP_SHARED_SUBSCRIPTION_AVAILABLE, told->shared_available},
        {NMQ_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE, told->subscription_ids_available},
    };

    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (!features[i].available) {
            nmq_props_set_number(props, features[i].id, 0);
        }
    }
    if (told->qos_max < 2) { // [MQTT-3.2.2-9]
        nmq_props_set_number(props, NMQ_PROP_MAXIMUM_QOS, told->qos_max);
    }
    if (told->receive_maximum < UINT16_MAX) {
        nmq_props_set_number(props, NMQ_PROP_RECEIVE_MAXIMUM, told->receive_maximum);
    }
    if (told->packet_max_bytes < NMQ_VARINT_MAX + 5) {
        nmq_props_set_number(props, NMQ_PROP_MAXIMUM_PACKET_SIZE, told->packet_max_bytes);
    }
    if (told->topic_alias_max > 0) {
        nmq_props_set_number(props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM, told->topic_alias_max);
    }
}

// What the CONNACK says to this client: what it asked for and did not get, who it is.
static void
fill_connack(admission *a, const nmq_packet *connect, uint32_t asked_expiry_s)
{
    nmq_conn *conn = a->conn;
    const nmq_attach *attach = &a->attach;
    nmq_props *props = &a->connack.props;

    announce(conn, props);
    // not to who asked for no more: its own counts then [MQTT-3.2.2-22]
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
        a->response_information = nmq_conns_response_information(conn->conns);
    }
    if (a->response_information.at != NULL) { // [MQTT-3.1.2-28]
        nmq_props_set_text(props, NMQ_PROP_RESPONSE_INFORMATION, a->response_information);
    }
    nmq_auth_properties(conn->auth, props);
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

// The bound counts where the client can hear of it [MQTT-3.1.2-21]: before 5.0 a client
// that keeps its word would be cut off. Peers that are gone are found by TCP's keep alive
// there.
static uint16_t
keep_alive_of(const nmq_told *told, const nmq_connect *c)
{
    uint16_t max = told->keep_alive_max_s;

    if (c->version != NMQ_V5) {
        return c->keep_alive_s;
    }
    return max != 0 && (c->keep_alive_s == 0 || c->keep_alive_s > max) ? max
                                                                       : c->keep_alive_s;
}

// A client that stays silent for one and a half times its keep alive is gone
// [MQTT-3.1.2-22]; keep_alive_permille can only make that longer.
void
nmq_conn_keep_alive(nmq_conn *conn)
{
    int64_t permille = NMQ_LIVE(conn->conns->options->keep_alive_permille);
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    int64_t keep_alive_s = client->keep_alive_s;
    (void) pthread_mutex_unlock(&client->lock);
    nmq_conn_set_idle(conn, keep_alive_s * (permille < KEEP_ALIVE_MIN_PERMILLE
                                                ? KEEP_ALIVE_MIN_PERMILLE
                                                : permille));
}

// Fills in what the client gets and is told. Nothing is changed yet.
static void
plan(admission *a, const nmq_packet *packet)
{
    nmq_conn *conn = a->conn;
    const nmq_options *options = conn->conns->options;
    const nmq_connect *c = &packet->connect;
    uint32_t asked_s = asked_expiry(c, &packet->props);
    nmq_attach *attach = &a->attach;

    *attach = (nmq_attach){
        .client_id = c->client_id,
        .user_name = nmq_conn_user_name(conn, c),
        .link = &conn->link,
        .peer = &conn->stream->peer,
        .listener = conn->listener->number,
        .listener_key = conn->listener->key,
        .proof = nmq_conn_proof(conn),
        .expiry_interval_s = smaller(asked_s, NMQ_LIVE(options->expiry_max_s)),
        .receive_maximum = UINT16_MAX,
        .packet_max = conn->packet_max,
        .keep_alive_s = keep_alive_of(&conn->told, c),
        .version = c->version,
        .clean_start = c->clean_start,
        .accept = accept_link,
        .arg = a,
    };
    if (c->client_id.len == 0) { // [MQTT-3.1.3-6]
        assign_id(a->assigned_id);
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

// Does what can fail without a trace: the CONNACK, complete but for Session Present, and
// the rules for this client. Returns NMQ_OK or NMQ_ENOMEM; *fault says what refuses it.
static int
check_plan(admission *a, const nmq_connect *c, nmq_fault *fault)
{
    nmq_conn *conn = a->conn;
    int rv = nmq_encode(&a->bytes, conn->version, &a->connack);

    if (rv == NMQ_OK) {
        rv = nmq_conn_know(conn, a->attach.client_id, a->attach.user_name);
    }
    a->attach.rights = conn->acl;
    a->attach.rights_version = conn->acl_version;
    if (rv == NMQ_OK) {
        rv = nmq_conn_mount(conn, a->attach.client_id, a->attach.user_name);
        a->attach.mount = nmq_conn_mount_prefix(conn);
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
    if (a->bytes.len > nmq_conn_packet_max(conn)) {
        *fault = (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, NULL};
    } else if (c->has_will && !nmq_conn_may(conn, NMQ_ACL_PUBLISH, c->will_topic)) {
        *fault = (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "an access rule denies the will"};
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
        rv = nmq_sessions_attach(a->conn->conns->sessions, &a->attach, client);
    }
    nmq_batch_again(batch);
    return rv;
}

static void
renew_settings(nmq_conn *conn)
{
    nmq_listener_settings *old = conn->settings;

    conn->settings = nmq_listener_now(conn->listener);
    nmq_listener_settings_unref(old);
}

enum nmq_next
nmq_conn_admit(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    admission a = {.conn = conn, .connack = {.type = NMQ_CONNACK}};
    nmq_client *client = NULL;
    nmq_fault fault = {0};

    if (conn->auth != NULL) { // the answer may have taken long: the mount point is of now
        renew_settings(conn);
    }
    plan(&a, packet);
    int rv = check_plan(&a, &packet->connect, &fault);
    if (rv == NMQ_OK && fault.code == 0) {
        rv = enter(&a, batch, &packet->connect, &client);
    }
    nmq_buf_free(&a.bytes);
    nmq_free((void *) (uintptr_t) a.response_information.at);
    if (fault.code != 0) {
        return nmq_conn_refuse(conn, batch, fault);
    }
    if (rv == NMQ_ETOOBIG) {
        return nmq_conn_refuse(conn, batch,
                               (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many sessions"});
    }
    if (rv == NMQ_ESHORT) {
        return nmq_conn_refuse(conn, batch,
                               (nmq_fault){NMQ_RC_SERVER_UNAVAILABLE, "memory is short"});
    }
    if (rv != NMQ_OK) {
        return nmq_conn_no_memory(conn);
    }
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_KEEP_ALIVES_LOWERED,
                     a.attach.keep_alive_s != packet->connect.keep_alive_s);
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->client = client;
    nmq_conns_know(conn->conns);
    nmq_batch_touch(batch, &conn->link);
    (void) pthread_mutex_unlock(&conn->link.lock);
    // CONNACK 0x00 [MQTT-3.1.4-5] is there, and no other comes [MQTT-3.2.0-2]
    conn->state = NMQ_CONN_OPEN;
    nmq_conn_log_connected(conn, &a.attach, a.session_present);
    if (nmq_conn_users_changed(conn, a.attach.proof)) {
        return nmq_conn_refuse(
            conn, batch, (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "the users have changed"});
    }
    nmq_conn_keep_alive(conn);
    return NMQ_NEXT_PACKET;
}

// Who the client's certificate says it is. One that no known CA stands for is refused.
// Returns NMQ_OK, NMQ_ENOENT when nothing is proved, NMQ_EACCESS or NMQ_ENOMEM.
static int
take_common_name(nmq_conn *conn)
{
    char name[NMQ_COMMON_NAME_BYTES];
    int rv = conn->stream->ops->common_name(conn->stream, name);

    if (rv != NMQ_OK || !conn->settings->cn_as_user_name) {
        return rv == NMQ_OK ? NMQ_ENOENT : rv;
    }
    return nmq_conn_prove(conn, nmq_bytes_of(name));
}

// What the listener asks for now, not what it did when the connection was accepted: a
// client could take its time with the CONNECT.
static void
use_settings_of_now(nmq_conn *conn)
{
    // before it asks
    conn->users_version = (uint32_t) nmq_rules_users_version(conn->conns->router->rules);
    renew_settings(conn);
}

static enum nmq_next
handle_connect(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_conn_tell(conn);
    use_settings_of_now(conn);
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_CONNECTS, 1);
    __atomic_store_n(&conn->version, packet->connect.version, __ATOMIC_RELAXED);
    conn->packet_max =
        nmq_props_number(&packet->props, NMQ_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    conn->problem_info =
        nmq_props_number(&packet->props, NMQ_PROP_REQUEST_PROBLEM_INFORMATION, 1) == 1;
    nmq_fault fault = nmq_conn_check_connect(conn, packet);
    if (fault.code != 0) {
        // [MQTT-3.1.4-2] [MQTT-3.3.5-2 of 3.1.1]
        return nmq_conn_refuse(conn, batch, fault);
    }
    int proved = take_common_name(conn);
    if (proved == NMQ_ENOMEM) {
        return nmq_conn_no_memory(conn);
    }
    if (proved == NMQ_EACCESS) {
        return nmq_conn_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "its certificate is not valid"});
    }
    // a method that no Python knows is refused there [MQTT-4.12.0-1]
    if ((conn->settings->ask_auth && proved != NMQ_OK) ||
        nmq_props_has(&packet->props, NMQ_PROP_AUTHENTICATION_METHOD)) {
        return nmq_conn_ask(conn, batch, packet);
    }
    enum nmq_next next = nmq_conn_admit(conn, batch, packet);
    nmq_auth_free(conn->auth);
    conn->auth = NULL;
    return next;
}

enum nmq_next
nmq_conn_handle_connect(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    conn->connecting = &packet->connect;
    enum nmq_next next = handle_connect(conn, batch, packet);
    conn->connecting = NULL;
    return next;
}
