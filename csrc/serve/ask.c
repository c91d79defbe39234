#include "serve/ask.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/conns.h"
#include "net/park.h"
#include "route/note.h"
#include "serve/question_bytes.h"
#include "serve/reply.h"

enum {
    TOPICS_MAX = 64, // of one question
    ASKED = 0xff,    // in place of an enum nmq_access: its answer is awaited
};

struct nmq_ask {
    nmq_buf verdicts; // enum nmq_access, of each topic up to the last that was asked about
    nmq_buf topics;   // of the question, as its text has them
    uint32_t count;   // of them; link.lock while the answer is awaited: then it is not 0
    int64_t due_ms;   // of the packet; 0: nothing was asked yet
    int64_t counts_until_ms; // the answer; 0: only for this packet
    uint64_t acl_version;    // of the rules beside which it was asked
    uint8_t reason_code;     // in place of an answer
};

enum nmq_access
nmq_ask_known(const nmq_server_conn *conn, uint32_t topic)
{
    const nmq_ask *ask = conn->ask;
    uint8_t known = NMQ_ACCESS_LATER;

    if (ask != NULL && topic < ask->verdicts.len) {
        known = ask->verdicts.at[topic];
    }
    if (known == NMQ_ACCESS_LATER && ask != NULL && ask->reason_code != 0) {
        return NMQ_ACCESS_DENY; // its time is over
    }
    return (enum nmq_access) known;
}

int64_t
nmq_ask_counts_until(const nmq_server_conn *conn)
{
    const nmq_ask *ask = conn->ask;

    return ask != NULL && ask->acl_version == conn->acl_version ? ask->counts_until_ms : 0;
}

// Notes that the topic is asked about. Returns NMQ_OK or NMQ_ENOMEM.
static int
mark(nmq_ask *ask, uint32_t number)
{
    const uint8_t none = NMQ_ACCESS_LATER;
    int rv = NMQ_OK;

    while (rv == NMQ_OK && ask->verdicts.len <= number) {
        rv = nmq_buf_put(&ask->verdicts, (nmq_bytes){&none, 1});
    }
    if (rv == NMQ_OK) {
        ask->verdicts.at[number] = ASKED;
    }
    return rv;
}

int
nmq_ask_add(nmq_server_conn *conn, uint32_t number, nmq_bytes topic)
{
    if (conn->ask == NULL) {
        conn->ask = nmq_zalloc(sizeof *conn->ask);
    }
    nmq_ask *ask = conn->ask;
    if (ask == NULL) {
        return NMQ_ENOMEM;
    }
    if (ask->count == TOPICS_MAX) {
        return NMQ_OK;
    }
    int rv = nmq_wish_write_topic(&ask->topics, topic);
    if (rv == NMQ_OK) {
        rv = mark(ask, number);
    }
    ask->count += rv == NMQ_OK;
    return rv;
}

static int
write_question(const nmq_server_conn *conn, uint16_t act, nmq_buf *out)
{
    const nmq_acl_view *who = conn->acl; // it has asked
    const nmq_peer_text host = nmq_peer_host(&conn->net.stream->peer);
    const nmq_bytes address = nmq_bytes_of(host.text);
    const nmq_wish wish = {
        .listener = conn->net.listener->number,
        .publish = (act & NMQ_ACL_PUBLISH) != 0,
        .address = (const char *) address.at,
        .address_len = address.len,
        .client_id = (const char *) who->who.client_id.at,
        .client_id_len = who->who.client_id.len,
        .user_name = (const char *) who->who.user_name.at,
        .user_name_len = who->who.user_name.len,
    };
    int rv = nmq_wish_write(out, &wish);

    return rv == NMQ_OK
               ? nmq_buf_put(out, (nmq_bytes){conn->ask->topics.at, conn->ask->topics.len})
               : rv;
}

enum nmq_next
nmq_ask_post(nmq_server_conn *conn, uint16_t act)
{
    const nmq_conns *conns = conn->net.conns;
    nmq_ask *ask = conn->ask;
    nmq_buf text = {0};

    if (write_question(conn, act, &text) != NMQ_OK) {
        nmq_buf_free(&text);
        return nmq_reply_no_memory(conn);
    }
    nmq_buf_free(&ask->topics);
    ask->acl_version = conn->acl_version;
    if (ask->due_ms == 0) {
        ask->due_ms = nmq_clock_now_ms() + NMQ_LIVE(conns->options->answer_timeout_ms);
    }
    const nmq_note note = {
        .kind = NMQ_NOTE_ACCESS,
        .number = conn->net.number,
        .code = (int32_t) (++conn->questions & INT32_MAX),
    };
    nmq_park_begin(&conn->net, NMQ_PARK_QUESTION, ask->due_ms);
    if (!nmq_note_put(conns->router->notes, &note, (nmq_bytes){text.at, text.len})) {
        (void) nmq_ask_unanswered(conn, NMQ_RC_SERVER_BUSY);
    }
    nmq_buf_free(&text);
    return NMQ_NEXT_LATER;
}

enum nmq_next
nmq_ask_one(nmq_server_conn *conn, uint16_t act, nmq_bytes topic)
{
    return nmq_ask_add(conn, 0, topic) == NMQ_OK ? nmq_ask_post(conn, act)
                                                 : nmq_reply_no_memory(conn);
}

void
nmq_ask_free(nmq_server_conn *conn)
{
    if (conn->ask != NULL) {
        nmq_buf_free(&conn->ask->verdicts);
        nmq_buf_free(&conn->ask->topics);
        nmq_free(conn->ask);
        conn->ask = NULL;
    }
}

uint8_t
nmq_ask_code(const nmq_server_conn *conn)
{
    return conn->ask != NULL ? conn->ask->reason_code : 0;
}

// --- answers

// Puts the verdicts where they were asked for; what is missing is denied. Call with
// link.lock.
static void
put_verdicts(nmq_ask *ask, const uint8_t *at, size_t count)
{
    size_t n = 0;

    for (size_t i = 0; i < ask->verdicts.len; i++) {
        if (ask->verdicts.at[i] == ASKED) {
            uint8_t said = n < count ? at[n] : (uint8_t) NMQ_ACCESS_DENY;
            bool fits = said == NMQ_ACCESS_ALLOW || said == NMQ_ACCESS_PASS;
            ask->verdicts.at[i] = fits ? said : (uint8_t) NMQ_ACCESS_DENY;
            n++;
        }
    }
    ask->count = 0;
}

// nmq_park_fn
static bool
take_verdicts(nmq_conn *net, const void *arg)
{
    const nmq_server_conn *conn = nmq_server_conn_of(net);
    const nmq_verdicts *verdicts = arg;
    bool asked = conn->ask != NULL && conn->ask->count > 0 &&
                 (conn->questions & INT32_MAX) == verdicts->question;

    if (asked) {
        put_verdicts(conn->ask, verdicts->at, verdicts->count);
        conn->ask->counts_until_ms =
            verdicts->keep_ms == 0 ? 0 : nmq_clock_now_ms() + verdicts->keep_ms;
    }
    return asked;
}

// nmq_park_fn: a Reason Code.
static bool
take_code(nmq_conn *net, const void *arg)
{
    nmq_ask *ask = nmq_server_conn_of(net)->ask;
    bool asked = ask != NULL && ask->count > 0;

    if (asked) {
        nmq_counters_add(net->conns->counters, NMQ_COUNT_ACCESS_UNANSWERED, 1);
        ask->reason_code = *(const uint8_t *) arg;
        put_verdicts(ask, NULL, 0);
    }
    return asked;
}

int
nmq_ask_answer(nmq_conns *conns, const nmq_verdicts *verdicts)
{
    nmq_conn *net = nmq_conns_find(conns, verdicts->number);

    if (net == NULL) {
        return NMQ_ENOENT;
    }
    bool waited = nmq_park_end_if(net, NMQ_PARK_QUESTION, take_verdicts, verdicts);
    nmq_link_unref(&net->link);
    return waited ? NMQ_OK : NMQ_ENOENT;
}

bool
nmq_ask_unanswered(nmq_server_conn *conn, uint8_t reason_code)
{
    const nmq_conns *conns = conn->net.conns;

    if (!nmq_park_end_if(&conn->net, NMQ_PARK_QUESTION, take_code, &reason_code)) {
        return false;
    }
    if (nmq_log_is_due(&nmq_server_of(conn)->unanswered_log_ms, nmq_clock_now_ms())) {
        nmq_log_write(conns->log, NMQ_LOG_WARNING,
                      "%s: nobody answered in time what it may do: it is denied",
                      nmq_conn_name(&conn->net).text);
    }
    return true;
}
