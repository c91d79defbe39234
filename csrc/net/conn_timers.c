// conn_timers.c - what time does to a connection: keep alive, retry, linger, and holds.
#include "base/container.h"
#include "base/live.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/conn_linger.h"
#include "route/deliver.h"

void
nmq_conn_arm(nmq_conn *conn, nmq_timer *timer, int64_t due_ms)
{
    (void) nmq_link_ref(&conn->link);
    if (!nmq_clock_arm(conn->conns->clock, timer, due_ms)) {
        nmq_link_unref(&conn->link); // armed already: it has its reference
    }
}

void
nmq_conn_cancel(nmq_conn *conn, nmq_timer *timer)
{
    if (nmq_clock_cancel(conn->conns->clock, timer)) {
        nmq_link_unref(&conn->link);
    }
}

// 5.0 sends again at a new connection only [MQTT-4.4.0-1].
static int64_t
retry_interval_ms(const nmq_conn *conn, bool open)
{
    return open && nmq_conn_version(conn) != NMQ_V5
               ? (int64_t) NMQ_LIVE(conn->conns->options->retry_interval_s) * 1000
               : 0;
}

void
nmq_conn_set_idle(nmq_conn *conn, int64_t idle_ms)
{
    int64_t now_ms = nmq_clock_now_ms();

    __atomic_store_n(&conn->last_packet_ms, now_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&conn->idle_ms, idle_ms, __ATOMIC_RELAXED);
    int64_t retry_ms = retry_interval_ms(conn, conn->client != NULL);
    if (idle_ms == 0 || (retry_ms != 0 && retry_ms < idle_ms)) {
        idle_ms = retry_ms;
    }
    if (idle_ms != 0) {
        nmq_conn_arm(conn, &conn->timer, now_ms + idle_ms);
    }
}

// Before 5.0: sends everything in flight again when a whole interval brought no
// acknowledgement.
static void
retry(nmq_conn *conn)
{
    const nmq_router *router = conn->conns->router;
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    (void) pthread_mutex_lock(&conn->link.lock);
    nmq_session *session = client->session;
    uint64_t progress = session->inflight.next_order - session->inflight.count;
    bool stalled = client->link == &conn->link && session->inflight.count > 0 &&
                   session->resend == NULL && conn->retry_acks == progress + 1;
    conn->retry_acks = progress + 1;
    if (stalled && nmq_session_resume(session) == NMQ_OK) {
        (void) nmq_session_pump(session, &conn->link.outbox,
                                NMQ_LIVE(router->options->outbox_max_bytes),
                                nmq_clock_now_ms());
        nmq_client_count_sent(client, router->counters);
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    (void) pthread_mutex_unlock(&client->lock);
    if (stalled) {
        nmq_conn_start_sending(conn, false);
    }
}

static void
timed_out(nmq_conn *conn, bool open)
{
    nmq_counters *counters = conn->conns->counters;

    nmq_counters_add(counters,
                     open ? NMQ_COUNT_KEEP_ALIVE_TIMEOUTS : NMQ_COUNT_CONNECT_TIMEOUTS, 1);
    if (!open) { // no CONNECT or AUTH in time: nothing to say it with
        nmq_log_write(conn->conns->log, NMQ_LOG_INFO,
                      "%s: closed, no CONNECT came in time (connect_timeout)",
                      nmq_conn_name(conn).text);
        conn->stream->ops->close(conn->stream);
        return;
    }
    nmq_conn_disconnect(&conn->link, NMQ_RC_KEEP_ALIVE_TIMEOUT); // [MQTT-3.1.2-22]
}

// The idle connection is looked at again when its silence could be too long. The receive
// side may end meanwhile: it then finds the timer armed, or we find it closing.
static void
rearm(nmq_conn *conn, int64_t due_ms)
{
    nmq_conn_arm(conn, &conn->timer, due_ms);
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->closing || conn->link.closed;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        nmq_conn_arm_end(conn);
    }
}

static void
silence(nmq_conn *conn, bool asking, bool open)
{
    if (asking) {
        (void) nmq_conns_answer(conn->conns,
                                &(nmq_answer){.number = conn->number,
                                              .reason_code = NMQ_RC_SERVER_UNAVAILABLE});
    } else {
        timed_out(conn, open);
    }
}

void
nmq_conn_fire_timer(nmq_timer *timer)
{
    nmq_conn *conn = NMQ_CONTAINER(timer, nmq_conn, timer);
    int64_t now_ms = nmq_clock_now_ms();

    (void) pthread_mutex_lock(&conn->link.lock);
    bool ends = conn->closing || conn->link.closed;
    bool asking = conn->asking;
    bool open = conn->client != NULL;
    // it is not read: that is no silence
    bool waits =
        conn->waits_for_itself || __atomic_load_n(&conn->is_held, __ATOMIC_ACQUIRE);
    (void) pthread_mutex_unlock(&conn->link.lock);
    int64_t idle_ms = __atomic_load_n(&conn->idle_ms, __ATOMIC_RELAXED);
    int64_t last_ms =
        waits ? now_ms : __atomic_load_n(&conn->last_packet_ms, __ATOMIC_RELAXED);
    int64_t retry_ms = retry_interval_ms(conn, open);
    int64_t due_ms = idle_ms != 0 ? last_ms + idle_ms : INT64_MAX;

    if (ends) {
        nmq_conn_look_at_end(conn, now_ms);
    } else if (due_ms <= now_ms) {
        silence(conn, asking, open);
    } else {
        if (retry_ms != 0) {
            retry(conn);
            due_ms = now_ms + retry_ms < due_ms ? now_ms + retry_ms : due_ms;
        }
        if (due_ms != INT64_MAX) {
            rearm(conn, due_ms);
        }
    }
    nmq_link_unref(&conn->link); // the timer's
}

// Looks after those who wait for a slow subscriber; when their time is over nobody waits
// for it until it has drained.
void
nmq_conn_fire_hold(nmq_timer *timer)
{
    nmq_link *link = ((nmq_link_wait *) (void *) timer)->link; // the timer is first
    nmq_conn *conn = nmq_conn_of(link);
    nmq_router *router = conn->conns->router;
    nmq_patience patience = nmq_deliver_patience(router->options, nmq_clock_now_ms());
    enum nmq_pace pace = nmq_link_look(link, &patience);

    if (nmq_conn_look_at_answers(conn, patience.now_ms) || pace == NMQ_PACE_SLOW) {
        nmq_conn_arm(conn, timer, patience.now_ms + NMQ_LINK_LOOK_MS);
    }
    if (pace != NMQ_PACE_SLOW) {
        if (pace == NMQ_PACE_STUCK) {
            (void) pthread_mutex_lock(&link->lock);
            nmq_bytes id =
                conn->client != NULL ? conn->client->session->client_id : (nmq_bytes){0};
            (void) pthread_mutex_unlock(&link->lock);
            nmq_deliver_log_stuck(router, id);
        }
        nmq_link_relieve(link, patience.max_bytes, true);
    }
    nmq_link_unref(link); // the timer's
}
