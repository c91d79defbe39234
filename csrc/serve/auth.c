// auth.c - questions to Python about who a client is, and AUTH (MQTT 5.0, 3.15 and 4.12).
//
//     CONNECT ──> deciding ──0──────────────────────────────────> open
//                    │  ^                                         │  ^
//               0x18 v  │ AUTH 0x18            AUTH 0x19 or 0x18  v  │ 0 or 0x18
//                 authenticating                               deciding
//
// While the answer is awaited nothing is read. The CONNECT is kept until its client is in.
#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/conn.h"
#include "route/event.h"

enum {
    TEXTS = 6,       // of a question
    DATA_MAX = 1024, // bytes of Authentication Data: methods need some hundred
};

static void
wipe(nmq_buf *buf)
{
    if (buf->at != NULL) {
        explicit_bzero(buf->at, buf->cap);
    }
    nmq_buf_free(buf);
}

static void
wipe_all(nmq_auth *auth)
{
    wipe(&auth->connect);
    wipe(&auth->question);
    wipe(&auth->data);
    wipe(&auth->user_name);
}

void
nmq_auth_free(nmq_auth *auth)
{
    if (auth != NULL) {
        wipe_all(auth);
        nmq_free((void *) (uintptr_t) auth->method.at);
        nmq_free(auth);
    }
}

// Writes what nmq_event_auth reads: the listener's number, then six times a length
// (UINT32_MAX: absent) and the bytes.
static int
put_question(nmq_buf *out, uint32_t listener, const nmq_bytes *texts, const bool *has)
{
    int rv = nmq_buf_put(out, (nmq_bytes){(const uint8_t *) &listener, sizeof listener});

    for (int i = 0; i < TEXTS && rv == NMQ_OK; i++) {
        uint32_t len = has[i] ? (uint32_t) texts[i].len : UINT32_MAX;
        rv = nmq_buf_put(out, (nmq_bytes){(const uint8_t *) &len, sizeof len});
        if (rv == NMQ_OK && has[i]) {
            rv = nmq_buf_put(out, texts[i]);
        }
    }
    return rv;
}

static nmq_bytes
text_of(const nmq_props *props, unsigned id)
{
    return nmq_props_has(props, id) ? props->text[id] : (nmq_bytes){0};
}

static int
prepare(nmq_conn *conn, const nmq_packet *packet, nmq_bytes client_id)
{
    const nmq_connect *c = &packet->connect;
    const nmq_props *props = &packet->props;
    bool first = packet->type == NMQ_CONNECT;
    bool method = nmq_props_has(props, NMQ_PROP_AUTHENTICATION_METHOD);
    const nmq_peer_text host = nmq_peer_host(&conn->stream->peer);
    const nmq_bytes texts[TEXTS] = {
        nmq_bytes_of(host.text),
        client_id,
        first ? c->user_name : (nmq_bytes){0},
        first ? c->password : (nmq_bytes){0},
        text_of(props, NMQ_PROP_AUTHENTICATION_METHOD),
        text_of(props, NMQ_PROP_AUTHENTICATION_DATA),
    };
    const bool has[TEXTS] = {
        true,
        true,
        first && c->has_user_name,
        first && c->has_password,
        method,
        nmq_props_has(props, NMQ_PROP_AUTHENTICATION_DATA),
    };

    if (conn->auth == NULL) {
        conn->auth = nmq_zalloc(sizeof *conn->auth);
    }
    if (conn->auth == NULL) {
        return NMQ_ENOMEM;
    }
    nmq_auth *auth = conn->auth;
    auth->step = first ? NMQ_RC_SUCCESS : packet->reason_code;
    int rv = put_question(&auth->question, conn->listener->number, texts, has);
    if (rv == NMQ_OK && first) {
        rv = nmq_buf_put(&auth->connect, packet->wire);
    }
    if (rv == NMQ_OK && first && method) {
        rv = nmq_bytes_copy(text_of(props, NMQ_PROP_AUTHENTICATION_METHOD), &auth->method);
    }
    return rv;
}

int
nmq_conn_prove(nmq_conn *conn, nmq_bytes user_name)
{
    if (conn->auth == NULL) {
        conn->auth = nmq_zalloc(sizeof *conn->auth);
    }
    if (conn->auth == NULL || nmq_buf_put(&conn->auth->user_name, user_name) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    conn->auth->has_user_name = true;
    return NMQ_OK;
}

enum nmq_next
nmq_conn_ask(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_bytes client_id = {0}; // of an AUTH before CONNACK Python has it from the CONNECT

    // what a stranger sends is weighed before Python sees it
    if (text_of(&packet->props, NMQ_PROP_AUTHENTICATION_DATA).len > DATA_MAX) {
        return nmq_conn_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "Authentication Data over 1 KiB"});
    }
    if (packet->type == NMQ_CONNECT) {
        client_id = packet->connect.client_id;
    } else if (conn->client != NULL) {
        client_id = conn->client->session->client_id;
    }
    if (prepare(conn, packet, client_id) != NMQ_OK) {
        return nmq_conn_no_memory(conn);
    }
    conn->state = NMQ_CONN_DECIDING;
    return NMQ_NEXT_WAIT;
}

void
nmq_conn_post_question(nmq_conn *conn)
{
    nmq_conns *conns = conn->conns;
    nmq_buf text = conn->auth->question;
    uint64_t number = conn->number;
    nmq_event event = {
        .kind = NMQ_EVENT_AUTH,
        .number = number,
        .code = conn->auth->step,
    };

    conn->auth->question = (nmq_buf){0};
    nmq_conn_set_idle(conn, NMQ_LIVE(conns->options->answer_timeout_ms));
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->asking = true;
    (void) pthread_mutex_unlock(&conn->link.lock);
    // The answer may come before this returns: the connection is not touched any more.
    bool put = nmq_event_put(conns->router->events, &event, (nmq_bytes){text.at, text.len});
    wipe(&text);
    if (!put) {
        (void) nmq_conns_answer(
            conns, &(nmq_answer){.number = number, .reason_code = NMQ_RC_SERVER_BUSY});
    }
}

void
nmq_conn_end_exchange(nmq_conn *conn)
{
    if (conn->auth != NULL && conn->auth->held) {
        conn->auth->held = false;
        (void) nmq_event_put(
            conn->conns->router->events,
            &(nmq_event){.kind = NMQ_EVENT_AUTH_END, .number = conn->number},
            (nmq_bytes){0});
    }
}

static int
copy_to(nmq_buf *buf, const char *at, size_t len, bool *has)
{
    wipe(buf);
    *has = at != NULL;
    return nmq_buf_put(buf, (nmq_bytes){(const uint8_t *) at, at != NULL ? len : 0});
}

void
nmq_conn_take_answer(nmq_conn *conn, const nmq_answer *answer)
{
    nmq_auth *auth = conn->auth;
    uint8_t code = answer->reason_code;

    auth->reason_code = code;
    auth->foreign = answer->foreign;
    // these two may be the core's own, in place of an answer that did not come
    auth->held =
        code == NMQ_RC_CONTINUE_AUTHENTICATION ||
        (auth->held && (code == NMQ_RC_SERVER_BUSY || code == NMQ_RC_SERVER_UNAVAILABLE));
    if (copy_to(&auth->data, answer->data, answer->data_len, &auth->has_data) != NMQ_OK ||
        copy_to(&auth->user_name, answer->user_name, answer->user_name_len,
                &auth->has_user_name) != NMQ_OK) {
        auth->reason_code = NMQ_RC_SERVER_BUSY;
    }
}

void
nmq_auth_properties(const nmq_auth *auth, nmq_props *props)
{
    if (auth == NULL || auth->method.at == NULL) {
        return; // [MQTT-4.12.0-6]
    }
    nmq_props_set_text(props, NMQ_PROP_AUTHENTICATION_METHOD,
                       auth->method); // [MQTT-4.12.0-5]
    if (auth->has_data) {
        nmq_props_set_text(props, NMQ_PROP_AUTHENTICATION_DATA,
                           (nmq_bytes){auth->data.at, auth->data.len});
    }
}

static enum nmq_next
put_auth(nmq_conn *conn, nmq_batch *batch, uint8_t reason_code)
{
    nmq_packet packet = {.type = NMQ_AUTH, .reason_code = reason_code};

    nmq_auth_properties(conn->auth, &packet.props);
    return nmq_conn_put_packet(conn, batch, &packet);
}

static enum nmq_next
refuse_login(nmq_conn *conn, nmq_batch *batch, uint8_t code)
{
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_LOGINS_REFUSED, 1);
    return nmq_conn_refuse(conn, batch, (nmq_fault){code, NULL});
}

// The answer to a CONNECT, or to an AUTH before CONNACK.
static enum nmq_next
connect_answered(nmq_conn *conn, nmq_batch *batch)
{
    nmq_auth *auth = conn->auth;
    nmq_packet packet;
    enum nmq_next next;

    if (auth->reason_code == NMQ_RC_CONTINUE_AUTHENTICATION) {
        conn->state = NMQ_CONN_AUTHENTICATING;
        nmq_conn_set_idle(conn, NMQ_LIVE(conn->conns->options->connect_timeout_ms));
        return put_auth(conn, batch, NMQ_RC_CONTINUE_AUTHENTICATION); // [MQTT-4.12.0-2]
    }
    conn->state = NMQ_CONN_NEW;
    (void) nmq_decode((nmq_bytes){auth->connect.at, auth->connect.len}, 0, &packet);
    conn->connecting = &packet.connect;
    if (auth->reason_code != NMQ_RC_SUCCESS) { // [MQTT-3.1.4-2] [MQTT-4.12.0-4]
        next = refuse_login(conn, batch, auth->reason_code);
    } else {
        next = nmq_conn_admit(conn, batch, &packet);
    }
    conn->connecting = NULL;
    if (auth->method.at == NULL) {
        nmq_auth_free(auth);
        conn->auth = NULL;
    } else {
        wipe_all(auth);
    }
    return next;
}

// The answer to an AUTH of a client that is in (4.12.1).
static enum nmq_next
again_answered(nmq_conn *conn, nmq_batch *batch)
{
    nmq_auth *auth = conn->auth;
    uint8_t code = auth->reason_code;

    conn->state = NMQ_CONN_OPEN;
    auth->goes_on = code == NMQ_RC_CONTINUE_AUTHENTICATION;
    if (code == NMQ_RC_SUCCESS && auth->has_user_name &&
        !nmq_bytes_equal((nmq_bytes){auth->user_name.at, auth->user_name.len},
                         conn->client->user_name)) {
        code = NMQ_RC_NOT_AUTHORIZED; // the session is another user's
    }
    if (!auth->goes_on && code != NMQ_RC_SUCCESS) { // [MQTT-4.12.1-2]
        return refuse_login(conn, batch, code);
    }
    nmq_conn_keep_alive(conn);
    enum nmq_next next = put_auth(conn, batch, code);
    wipe_all(auth);
    return next;
}

enum nmq_next
nmq_conn_handle_answer(nmq_conn *conn, nmq_batch *batch)
{
    conn->answered = false;
    return conn->client == NULL ? connect_answered(conn, batch)
                                : again_answered(conn, batch);
}

enum nmq_next
nmq_conn_handle_auth(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    const nmq_auth *auth = conn->auth;
    bool open = conn->state == NMQ_CONN_OPEN;

    if (auth == NULL || auth->method.at == NULL) {
        return nmq_conn_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH, but CONNECT had no method"});
    }
    if (!nmq_props_has(&packet->props, NMQ_PROP_AUTHENTICATION_METHOD)) {
        return nmq_conn_refuse(conn, batch,
                               (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH without a method"});
    }
    if (!nmq_bytes_equal(packet->props.text[NMQ_PROP_AUTHENTICATION_METHOD],
                         auth->method)) { // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
        uint8_t code = open ? NMQ_RC_PROTOCOL_ERROR : NMQ_RC_BAD_AUTHENTICATION_METHOD;
        return nmq_conn_refuse(conn, batch,
                               (nmq_fault){code, "AUTH with another method than CONNECT"});
    }
    bool goes_on = !open || auth->goes_on;
    if (packet->reason_code != (goes_on ? NMQ_RC_CONTINUE_AUTHENTICATION
                                        : NMQ_RC_REAUTHENTICATE)) { // [MQTT-4.12.0-3]
        return nmq_conn_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH with a reason code out of turn"});
    }
    return nmq_conn_ask(conn, batch, packet);
}
