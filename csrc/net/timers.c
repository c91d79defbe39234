#include "net/timers.h"

#include "base/container.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "net/conns.h"
#include "net/linger.h"
#include "net/park.h"
#include "net/send.h"
#include "route/deliver.h"

// 5.0 sends again at a new connection only [MQTT-4.4.0-1].
static int64_t
retry_interval_ms(const nmq_conn *conn, bool open)
{
    return open && nmq_conn_version(conn) != NMQ_V5
               ? (int64_t) NMQ_LIVE(conn->conns->options->retry_interval_s) * 1000
               : 0;
}

// The connection is looked at when its silence could be too long. It may end meanwhile:
// whoever ends it then finds the timer armed, or we find it closing.
static void
look_at(nmq_conn *conn, int64_t due_ms)
{
    nmq_conn_arm(conn, &conn->timer, due_ms);
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->link.closed;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        nmq_linger_arm(conn);
    }
}

void
nmq_timers_set_idle(nmq_conn *conn, int64_t idle_ms)
{
    int64_t now_ms = nmq_clock_now_ms();

    __atomic_store_n(&conn->last_packet_ms, now_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&conn->idle_ms, idle_ms, __ATOMIC_RELAXED);
    int64_t retry_ms = retry_interval_ms(conn, conn->client != NULL);
    if (idle_ms == 0 || (retry_ms != 0 && retry_ms < idle_ms)) {
        idle_ms = retry_ms;
    }
    if (idle_ms != 0) {
        look_at(conn, now_ms + idle_ms);
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
        nmq_send_start(conn);
    }
}

void
nmq_timers_fire(nmq_timer *timer)
{
    nmq_conn *conn = NMQ_CONTAINER(timer, nmq_conn, timer);
    int64_t now_ms = nmq_clock_now_ms();

    (void) pthread_mutex_lock(&conn->link.lock);
    bool ends = conn->link.closed;
    bool open = conn->client != NULL;
    (void) pthread_mutex_unlock(&conn->link.lock);
    enum nmq_recv_state recv = nmq_conn_recv(conn);
    // it is not read, so this is no silence
    bool waits = recv == NMQ_RECV_ANSWERS || recv == NMQ_RECV_SLOW;
    int64_t idle_ms = __atomic_load_n(&conn->idle_ms, __ATOMIC_RELAXED);
    int64_t last_ms =
        waits ? now_ms : __atomic_load_n(&conn->last_packet_ms, __ATOMIC_RELAXED);
    int64_t retry_ms = retry_interval_ms(conn, open);
    int64_t due_ms = idle_ms != 0 ? last_ms + idle_ms : INT64_MAX;

    if (ends) {
        nmq_linger_look(conn, now_ms);
    } else if (due_ms <= now_ms) {
        conn->conns->role->silent(conn);
    } else {
        if (retry_ms != 0) {
            retry(conn);
            due_ms = now_ms + retry_ms < due_ms ? now_ms + retry_ms : due_ms;
        }
        if (due_ms != INT64_MAX) {
            look_at(conn, due_ms);
        }
    }
    nmq_link_unref(&conn->link); // the timer's
}

// Looks after those who wait for a slow subscriber; when their time is over nobody waits
// for it until it has drained.
void
nmq_timers_fire_slow(nmq_timer *timer)
{
    nmq_link *link = ((nmq_link_wait *) (void *) timer)->link; // the timer is first
    nmq_conn *conn = nmq_conn_of(link);
    nmq_router *router = conn->conns->router;
    nmq_patience patience = nmq_deliver_patience(router->options, nmq_clock_now_ms());
    enum nmq_pace pace = nmq_link_look(link, &patience);

    if (nmq_park_look(conn, patience.now_ms) || pace == NMQ_PACE_SLOW) {
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

void
nmq_timers_arm_slow(nmq_link *link, int64_t due_ms)
{
    nmq_conn_arm(nmq_conn_of(link), &link->wait->timer, due_ms);
}

// A timer that fires early arms itself again; that of a connection which lingers would end
// it.
static void
look_again(nmq_conn *conn, int64_t now_ms)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool ends = conn->link.closed;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (!ends) {
        nmq_conn_arm(conn, &conn->timer, now_ms);
    }
}

void
nmq_timers_look_again(nmq_conns *conns)
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
