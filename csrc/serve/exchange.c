#include "serve/exchange.h"

#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/park.h"
#include "route/note.h"
#include "serve/question_bytes.h"
#include "serve/reply.h"
#include "serve/tell.h"

enum { DATA_MAX = 1024 }; // bytes of Authentication Data: methods need some hundred

void
nmq_exchange_wipe(nmq_exchange *exchange)
{
    nmq_buf_wipe(&exchange->connect);
    nmq_buf_wipe(&exchange->data);
    nmq_buf_wipe(&exchange->user_name);
    nmq_acl_unref(exchange->own);
    exchange->own = NULL;
}

void
nmq_exchange_free(nmq_exchange *exchange)
{
    if (exchange != NULL) {
        nmq_exchange_wipe(exchange);
        nmq_free((void *) (uintptr_t) exchange->method.at);
        nmq_free(exchange);
    }
}

static nmq_bytes
text_of(const nmq_props *props, unsigned id)
{
    return nmq_props_has(props, id) ? props->text[id] : (nmq_bytes){0};
}

// Returns a text that is there, with its length, or NULL.
static const char *
given(nmq_bytes text, bool has, size_t *len)
{
    *len = has ? text.len : 0;
    return !has ? NULL : text.at != NULL ? (const char *) text.at : "";
}

static int
write_question(const nmq_server_conn *conn, const nmq_packet *packet, nmq_bytes client_id,
               nmq_buf *out)
{
    const nmq_connect *c = &packet->connect;
    const nmq_props *props = &packet->props;
    bool first = packet->type == NMQ_CONNECT;
    const nmq_peer_text host = nmq_peer_host(&conn->net.stream->peer);
    nmq_credentials who = {.listener = conn->net.listener->number};

    who.address = given(nmq_bytes_of(host.text), true, &who.address_len);
    who.client_id = given(client_id, true, &who.client_id_len);
    if (first) {
        who.user_name = given(c->user_name, c->has_user_name, &who.user_name_len);
        who.password = given(c->password, c->has_password, &who.password_len);
    }
    who.method =
        given(text_of(props, NMQ_PROP_AUTHENTICATION_METHOD),
              nmq_props_has(props, NMQ_PROP_AUTHENTICATION_METHOD), &who.method_len);
    who.data = given(text_of(props, NMQ_PROP_AUTHENTICATION_DATA),
                     nmq_props_has(props, NMQ_PROP_AUTHENTICATION_DATA), &who.data_len);
    return nmq_question_write(out, &who);
}

// Makes the exchange if there is none. Returns false when memory is out.
static bool
make(nmq_server_conn *conn)
{
    if (conn->exchange == NULL) {
        conn->exchange = nmq_zalloc(sizeof *conn->exchange);
    }
    return conn->exchange != NULL;
}

static int
prepare(nmq_server_conn *conn, const nmq_packet *packet, nmq_bytes client_id,
        nmq_buf *question)
{
    const nmq_props *props = &packet->props;
    bool first = packet->type == NMQ_CONNECT;

    if (!make(conn)) {
        return NMQ_ENOMEM;
    }
    nmq_exchange *exchange = conn->exchange;
    int rv = write_question(conn, packet, client_id, question);
    if (rv == NMQ_OK && first) {
        rv = nmq_buf_put(&exchange->connect, packet->wire);
    }
    if (rv == NMQ_OK && first && nmq_props_has(props, NMQ_PROP_AUTHENTICATION_METHOD)) {
        rv = nmq_bytes_copy(text_of(props, NMQ_PROP_AUTHENTICATION_METHOD),
                            &exchange->method);
    }
    return rv;
}

int
nmq_exchange_prove(nmq_server_conn *conn, nmq_bytes user_name)
{
    if (!make(conn) || nmq_buf_put(&conn->exchange->user_name, user_name) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    conn->exchange->has_user_name = true;
    return NMQ_OK;
}

// Puts the question to Python. The answer may come before this returns.
static void
post(nmq_server_conn *conn, const nmq_packet *packet, nmq_bytes question)
{
    const nmq_conns *conns = conn->net.conns;
    const nmq_note note = {
        .kind = NMQ_NOTE_AUTH,
        .number = conn->net.number,
        .code = packet->type == NMQ_CONNECT ? NMQ_RC_SUCCESS : packet->reason_code,
    };

    conn->exchange->asked = true;
    nmq_park_begin(&conn->net, NMQ_PARK_QUESTION,
                   nmq_clock_now_ms() + NMQ_LIVE(conns->options->answer_timeout_ms));
    if (!nmq_note_put(conns->router->notes, &note, question)) {
        const nmq_answer busy = {.reason_code = NMQ_RC_SERVER_BUSY};
        (void) nmq_exchange_answer(conn, &busy);
    }
}

enum nmq_next
nmq_exchange_ask(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_bytes client_id = {0}; // none for an AUTH before CONNACK: Python has the CONNECT
    nmq_buf question = {0};

    // the size is bounded before Python sees what a stranger sends
    if (text_of(&packet->props, NMQ_PROP_AUTHENTICATION_DATA).len > DATA_MAX) {
        const nmq_fault fault = {NMQ_RC_NOT_AUTHORIZED, "Authentication Data over 1 KiB"};
        nmq_tell_auth_failed(conn, fault);
        return nmq_reply_refuse(conn, batch, fault);
    }
    if (packet->type == NMQ_CONNECT) {
        client_id = packet->connect.client_id;
    } else if (conn->net.client != NULL) {
        client_id = conn->net.client->session->client_id;
    }
    int rv = prepare(conn, packet, client_id, &question);
    if (rv == NMQ_OK) {
        nmq_server_conn_set_state(conn, conn->net.client != NULL ? NMQ_CONN_OPEN_DECIDING
                                                                 : NMQ_CONN_DECIDING);
        post(conn, packet, (nmq_bytes){question.at, question.len});
    }
    nmq_buf_wipe(&question);
    return rv == NMQ_OK ? NMQ_NEXT_ASK : nmq_reply_no_memory(conn);
}

void
nmq_exchange_end(nmq_server_conn *conn)
{
    if (conn->exchange != NULL && conn->exchange->python_waits) {
        conn->exchange->python_waits = false;
        (void) nmq_note_put(
            conn->net.conns->router->notes,
            &(nmq_note){.kind = NMQ_NOTE_AUTH_END, .number = conn->net.number},
            (nmq_bytes){0});
    }
}

static int
copy_to(nmq_buf *buf, const char *at, size_t len, bool *has)
{
    nmq_buf_wipe(buf);
    *has = at != NULL;
    return nmq_buf_put(buf, (nmq_bytes){(const uint8_t *) at, at != NULL ? len : 0});
}

// Returns the deadline that is that time of the wall clock; 0, for none, stays 0.
static int64_t
deadline_at(int64_t wall_ms)
{
    const int64_t most_ms = (int64_t) UINT32_MAX * 1000;
    const int64_t wall_now_ms = nmq_clock_wall_ms();
    int64_t left_ms = wall_ms > wall_now_ms ? wall_ms - wall_now_ms : 0;

    left_ms = left_ms < most_ms ? left_ms : most_ms;
    return wall_ms == 0 ? 0 : nmq_clock_now_ms() + left_ms;
}

// nmq_park_fn: copies the answer. Call with link.lock.
static bool
take_answer(nmq_conn *net, const void *arg)
{
    const nmq_answer *answer = arg;
    nmq_exchange *exchange = nmq_server_conn_of(net)->exchange;
    uint8_t code = answer->reason_code;

    if (exchange == NULL || !exchange->asked) {
        return false;
    }
    exchange->asked = false;
    exchange->reason_code = code;
    exchange->foreign = answer->foreign;
    exchange->superuser = answer->superuser;
    nmq_acl_unref(exchange->own);
    exchange->own = nmq_acl_ref(answer->rules);
    exchange->ends_ms = deadline_at(answer->ends_at_ms);
    // the core itself sets these two codes when no answer comes: Python still keeps the
    // exchange
    exchange->python_waits =
        code == NMQ_RC_CONTINUE_AUTHENTICATION ||
        (exchange->python_waits &&
         (code == NMQ_RC_SERVER_BUSY || code == NMQ_RC_SERVER_UNAVAILABLE));
    if (copy_to(&exchange->data, answer->data, answer->data_len, &exchange->has_data) !=
            NMQ_OK ||
        copy_to(&exchange->user_name, answer->user_name, answer->user_name_len,
                &exchange->has_user_name) != NMQ_OK) {
        exchange->reason_code = NMQ_RC_SERVER_BUSY;
    }
    return true;
}

bool
nmq_exchange_answer(nmq_server_conn *conn, const nmq_answer *answer)
{
    return nmq_park_end_if(&conn->net, NMQ_PARK_QUESTION, take_answer, answer);
}

void
nmq_exchange_properties(const nmq_exchange *exchange, nmq_props *props)
{
    if (exchange == NULL || exchange->method.at == NULL) {
        return; // [MQTT-4.12.0-6]
    }
    nmq_props_set_text(props, NMQ_PROP_AUTHENTICATION_METHOD,
                       exchange->method); // [MQTT-4.12.0-5]
    if (exchange->has_data) {
        nmq_props_set_text(props, NMQ_PROP_AUTHENTICATION_DATA,
                           (nmq_bytes){exchange->data.at, exchange->data.len});
    }
}
