// conns.c - all connections of one broker: accept, answers to their questions, close all.
#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/conn_linger.h"

enum { STRANGERS_MAX = 64 }; // while memory is out

nmq_conn *
nmq_conn_of(nmq_link *link)
{
    return (nmq_conn *) link;
}

nmq_bytes
nmq_conn_key(const nmq_conn *conn)
{
    return (nmq_bytes){(const uint8_t *) &conn->number, sizeof conn->number};
}

nmq_peer_text
nmq_conn_name(const nmq_conn *conn)
{
    return nmq_peer_name(&conn->stream->peer);
}

uint8_t
nmq_conn_version(const nmq_conn *conn)
{
    return __atomic_load_n(&conn->version, __ATOMIC_RELAXED);
}

int
nmq_conns_answer(nmq_conns *conns, const nmq_answer *answer)
{
    nmq_bytes key = {(const uint8_t *) &answer->number, sizeof answer->number};
    bool mine = false;

    (void) pthread_mutex_lock(&conns->lock);
    nmq_conn *conn = nmq_map_get(&conns->by_number, key);
    if (conn != NULL) {
        (void) nmq_link_ref(&conn->link);
    }
    (void) pthread_mutex_unlock(&conns->lock);
    if (conn == NULL) {
        return NMQ_ENOENT;
    }
    (void) pthread_mutex_lock(&conn->link.lock);
    mine = conn->asking; // whoever takes it back is the receive side now
    conn->asking = false;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (mine) {
        conn->answered = true;
        nmq_conn_take_answer(conn, answer);
        nmq_conn_process(conn, NULL);
    }
    nmq_link_unref(&conn->link);
    return mine ? NMQ_OK : NMQ_ENOENT;
}

void
nmq_conn_forget(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->conns->lock);
    (void) nmq_map_del(&conn->conns->by_number, nmq_conn_key(conn));
    (void) pthread_mutex_unlock(&conn->conns->lock);
    if (!conn->left) {
        conn->left = true;
        nmq_conn_end_exchange(conn);
        nmq_listener_leave(conn->listener, &conn->stream->peer);
    }
}

void
nmq_conns_know(nmq_conns *conns)
{
    (void) __atomic_sub_fetch(&conns->strangers, 1, __ATOMIC_RELAXED);
}

static void
conn_free(nmq_link *link)
{
    nmq_conn *conn = nmq_conn_of(link);
    nmq_conns *conns = conn->conns;

    if (conn->client == NULL) {
        nmq_conns_know(conns);
    }
    nmq_client_unref(conn->client);
    nmq_alias_names_free(&conn->aliases);
    nmq_auth_free(conn->auth);
    nmq_conn_forget_rules(conn);
    nmq_origin_unref(conn->origin);
    nmq_listener_settings_unref(conn->settings);
    nmq_listener_unref(conn->listener);
    conn->stream->ops->free(conn->stream);
    if (conn->ws != NULL) {
        nmq_ws_fini(&conn->ws->ws);
        nmq_buf_free(&conn->ws->prefix);
        nmq_free(conn->ws);
    }
    nmq_free(conn->rate);
    nmq_conn_unmount(conn);
    nmq_outbox_reset(&conn->sending, 0);
    nmq_buf_free(&conn->in);
    nmq_link_fini(link);
    nmq_free(conn);
    nmq_counters_add(conns->counters, NMQ_COUNT_CONNECTIONS_OPEN, UINT64_MAX);
    (void) pthread_mutex_lock(&conns->lock);
    if (--conns->open == 0) {
        (void) pthread_cond_broadcast(&conns->freed);
    }
    (void) pthread_mutex_unlock(&conns->lock);
}

static const nmq_link_ops link_ops = {
    .flush = nmq_conn_flush,
    .resume = nmq_conn_resume,
    .disconnect = nmq_conn_disconnect,
    .look = nmq_conn_fire_hold,
    .free = conn_free,
};

// Adds the connection to the set; false when none is taken any more or memory is out. Then
// a few strangers at a time may still come: those with sessions, whose messages go.
static bool
enter(nmq_conns *conns, nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conns->lock);
    conn->number = ++conns->next_number;
    bool in = !conns->closing &&
              nmq_map_put(&conns->by_number, nmq_conn_key(conn), conn) == NMQ_OK;
    conns->open++;
    (void) pthread_mutex_unlock(&conns->lock);
    uint32_t strangers = __atomic_add_fetch(&conns->strangers, 1, __ATOMIC_RELAXED);
    if (strangers > STRANGERS_MAX && NMQ_LIVE(*conns->memory) == NMQ_MEMORY_OUT) {
        nmq_counters_add(conns->counters, NMQ_COUNT_MEMORY_REFUSED, 1);
        in = false;
    }
    nmq_counters_add(conns->counters, NMQ_COUNT_CONNECTIONS_OPEN, 1);
    nmq_counters_add(conns->counters, NMQ_COUNT_CONNECTIONS_ACCEPTED, 1);
    return in;
}

// Makes what only some connections have. Returns NMQ_OK or NMQ_ENOMEM.
static int
make_parts(nmq_conn *conn)
{
    conn->settings = nmq_listener_now(conn->listener);
    conn->proxy_due = conn->settings->proxy;
    if (conn->settings->path.at != NULL) {
        conn->ws = nmq_zalloc(sizeof *conn->ws);
        conn->link.outbox.framed = conn->sending.framed = true;
    }
    return conn->settings->path.at != NULL && conn->ws == NULL ? NMQ_ENOMEM : NMQ_OK;
}

// It was admitted and did not come in.
static void
leave(void *arg, const nmq_peer *peer)
{
    nmq_listener_leave(arg, peer);
}

static void
accept_stream(void *arg, nmq_stream *stream)
{
    nmq_listener *listener = arg;
    nmq_conns *conns = listener->arg;
    nmq_conn *conn = nmq_zalloc(sizeof *conn);

    if (conn == NULL) {
        leave(listener, &stream->peer);
        stream->ops->close(stream);
        stream->ops->free(stream);
        return;
    }
    nmq_link_init(&conn->link, &link_ops);
    conn->conns = conns;
    conn->listener = nmq_listener_ref(listener);
    conn->stream = stream;
    conn->in_cap_next = NMQ_CONN_IN_MIN;
    conn->send_will = true;
    conn->packet_max = UINT32_MAX;
    conn->timer.fire = nmq_conn_fire_timer;
    stream->on_recv = nmq_conn_on_recv;
    stream->on_sent = nmq_conn_on_sent;
    stream->arg = conn;
    bool in = enter(conns, conn);
    if (!in || make_parts(conn) != NMQ_OK) {
        nmq_conn_forget(conn);
        stream->ops->close(stream);
        nmq_link_unref(&conn->link);
        return;
    }
    nmq_conn_tell(conn);
    nmq_conn_set_idle(conn, NMQ_LIVE(conns->options->connect_timeout_ms));
    nmq_conn_post_recv(conn);
}

static bool
admit(void *arg, nmq_peer *peer)
{
    return nmq_listener_admit(arg, peer);
}

static void
starved(void *arg)
{
    nmq_listener *listener = arg;

    nmq_gate_starved(listener->gate);
}

nmq_accept
nmq_conns_accept(nmq_listener *listener)
{
    return (nmq_accept){
        .admit = admit,
        .accept = accept_stream,
        .leave = leave,
        .starved = starved,
        .arg = listener,
    };
}

void
nmq_conns_init(nmq_conns *conns, nmq_sessions *sessions, uint8_t *memory)
{
    nmq_router *router = sessions->router;
    const nmq_options *options = router->options;

    *conns = (nmq_conns){
        .router = router,
        .sessions = sessions,
        .memory = memory,
        .log = router->log,
        .counters = router->counters,
        .clock = sessions->clock,
        .options = options,
    };
    conns->short_timer.fire = nmq_conns_fire_short;
    nmq_gate_init(&conns->gate, router->log, router->counters, options);
    (void) pthread_mutex_init(&conns->lock, NULL);
    nmq_clock_cond_init(&conns->freed);
}

void
nmq_conns_set_response_information(nmq_conns *conns, nmq_bytes text)
{
    (void) pthread_mutex_lock(&conns->lock);
    nmq_bytes old = conns->response_information;
    conns->response_information = text;
    (void) pthread_mutex_unlock(&conns->lock);
    nmq_free((void *) (uintptr_t) old.at);
}

nmq_bytes
nmq_conns_response_information(nmq_conns *conns)
{
    nmq_bytes copy = {0};

    (void) pthread_mutex_lock(&conns->lock);
    if (conns->response_information.at != NULL) {
        (void) nmq_bytes_copy(conns->response_information, &copy);
    }
    (void) pthread_mutex_unlock(&conns->lock);
    return copy;
}

// A timer that fires early arms itself again; that of a connection which lingers would end
// it.
static void
look_again(nmq_conn *conn, int64_t now_ms)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool lingers = conn->closing || conn->link.closed;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (!lingers) {
        nmq_conn_arm(conn, &conn->timer, now_ms);
    }
}

void
nmq_conns_look_again(nmq_conns *conns)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);
    int64_t now_ms = nmq_clock_now_ms();

    for (size_t i = 0; i < count; i++) {
        look_again(all[i], now_ms);
        nmq_link_unref(&all[i]->link);
    }
    nmq_free(all);
}

nmq_conn **
nmq_conns_all(nmq_conns *conns, size_t *count)
{
    *count = 0;
    (void) pthread_mutex_lock(&conns->lock);
    nmq_conn **all = nmq_alloc(conns->by_number.count * sizeof *all);
    for (size_t i = 0; all != NULL && i < conns->by_number.cap; i++) {
        nmq_conn *conn = conns->by_number.slots[i].value;
        if (conn != NULL) {
            (void) nmq_link_ref(&conn->link);
            all[(*count)++] = conn;
        }
    }
    (void) pthread_mutex_unlock(&conns->lock);
    return all;
}

void
nmq_conns_disconnect(nmq_conns *conns, uint32_t listener, uint8_t reason_code)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);

    for (size_t i = 0; i < count; i++) {
        if (all[i]->listener->number == listener) {
            nmq_conn_disconnect(&all[i]->link, reason_code);
        }
        nmq_link_unref(&all[i]->link);
    }
    nmq_free(all);
}

static bool
wait_freed(nmq_conns *conns, uint32_t timeout_ms)
{
    struct timespec until = nmq_clock_after(timeout_ms);
    int rv = 0;

    (void) pthread_mutex_lock(&conns->lock);
    while (conns->open > 0 && rv == 0) {
        rv = pthread_cond_timedwait(&conns->freed, &conns->lock, &until);
    }
    bool done = conns->open == 0;
    (void) pthread_mutex_unlock(&conns->lock);
    return done;
}

void
nmq_conns_close_all(nmq_conns *conns, uint8_t reason_code, uint32_t timeout_ms)
{
    size_t count;

    for (int hard = 0; hard < 2; hard++) {
        (void) pthread_mutex_lock(&conns->lock);
        __atomic_store_n(&conns->closing, true, __ATOMIC_RELAXED);
        (void) pthread_mutex_unlock(&conns->lock);
        nmq_conn **all = nmq_conns_all(conns, &count);
        for (size_t i = 0; i < count; i++) {
            nmq_conn_disconnect(&all[i]->link, reason_code);
            if (hard) {
                all[i]->stream->ops->close(all[i]->stream);
                nmq_link_relieve(&all[i]->link, 0, true);
            }
            nmq_link_unref(&all[i]->link);
        }
        nmq_free(all);
        if (wait_freed(conns, hard ? NMQ_CONN_LINGER_MS * 2 : timeout_ms)) {
            return;
        }
    }
}

void
nmq_conns_fini(nmq_conns *conns)
{
    nmq_gate_fini(&conns->gate);
    nmq_map_free(&conns->by_number);
    nmq_free((void *) (uintptr_t) conns->response_information.at);
    (void) pthread_cond_destroy(&conns->freed);
    (void) pthread_mutex_destroy(&conns->lock);
}
