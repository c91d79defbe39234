#include "net/timers.h"

#include "base/container.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/conns.h"
#include "net/linger.h"
#include "net/park.h"
#include "net/rate.h"
#include "net/send.h"
#include "route/durable.h"

// 5.0 sends again at a new connection only [MQTT-4.4.0-1].
static int64_t
retry_interval_ms(const nmq_conn *conn, bool open)
{
    return open && nmq_conn_version(conn) != NMQ_V5
               ? (int64_t) NMQ_LIVE(conn->conns->options->retry_interval_s) * 1000
               : 0;
}

// The connection is looked at then. Meanwhile it may end: whoever ends it then finds the
// timer armed, or we find it closing; or it is parked: the timer is the earlier one's.
static void
look_at(nmq_conn *conn, int64_t due_ms)
{
    int64_t park_due_ms;

    nmq_conn_arm(conn, &conn->timer, due_ms);
    (void) nmq_park_reasons(conn, &park_due_ms);
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->link.closed;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        nmq_linger_arm(conn);
    } else if (park_due_ms != 0 && park_due_ms < due_ms) {
        nmq_conn_arm(conn, &conn->timer, park_due_ms);
    }
}

static int64_t
sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
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
    int64_t ends_ms = __atomic_load_n(&conn->ends_ms, __ATOMIC_RELAXED);
    int64_t due_ms = idle_ms != 0 ? now_ms + idle_ms : INT64_MAX;
    due_ms = ends_ms != 0 ? sooner(ends_ms, due_ms) : due_ms;
    if (due_ms != INT64_MAX) {
        look_at(conn, due_ms);
    }
}

void
nmq_timers_end_at(nmq_conn *conn, int64_t due_ms)
{
    __atomic_store_n(&conn->ends_ms, due_ms, __ATOMIC_RELAXED);
    look_at(conn, nmq_clock_now_ms()); // which finds out what comes first
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
                   session->resend == NULL && conn->retry_acks == progress + 1 &&
                   !nmq_durable_is_awaited(session);
    conn->retry_acks = progress + 1;
    if (stalled && nmq_session_resume(session) == NMQ_OK) {
        (void) nmq_session_pump(session, &conn->link.outbox,
                                NMQ_LIVE(router->options->outbox_max_bytes),
                                nmq_clock_now_ms());
        nmq_client_count_fresh(client, router->counters);
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    (void) pthread_mutex_unlock(&client->lock);
    if (stalled) {
        nmq_send_start(conn);
    }
}

// It waits, and for so long. Returns why it waits now.
static unsigned
look_why_parked(nmq_conn *conn, int64_t now_ms, int64_t *due_ms)
{
    unsigned reasons = nmq_park_reasons(conn, due_ms);

    if (*due_ms == 0 || *due_ms > now_ms) {
        return reasons;
    }
    if ((reasons & NMQ_PARK_RATE) != 0) {
        nmq_rate_look(conn, now_ms);
    } else {
        (void) conn->conns->role->unanswered(conn, NMQ_RC_SERVER_UNAVAILABLE);
    }
    return nmq_park_reasons(conn, due_ms);
}

void
nmq_timers_fire(nmq_timer *timer)
{
    nmq_conn *conn = NMQ_CONTAINER(timer, nmq_conn, timer);
    int64_t now_ms = nmq_clock_now_ms();
    int64_t due_ms;

    bool waits = look_why_parked(conn, now_ms, &due_ms) != 0;
    due_ms = due_ms != 0 ? due_ms : INT64_MAX;
    (void) pthread_mutex_lock(&conn->link.lock);
    bool ends = conn->link.closed;
    bool open = conn->client != NULL;
    (void) pthread_mutex_unlock(&conn->link.lock);
    int64_t idle_ms = __atomic_load_n(&conn->idle_ms, __ATOMIC_RELAXED);
    int64_t last_ms = __atomic_load_n(&conn->last_packet_ms, __ATOMIC_RELAXED);
    last_ms = waits ? now_ms : last_ms; // it is not read: that is no silence
    bool silent = idle_ms != 0 && last_ms + idle_ms <= now_ms;
    int64_t retry_ms = retry_interval_ms(conn, open);
    int64_t ends_ms = __atomic_load_n(&conn->ends_ms, __ATOMIC_RELAXED);

    if (ends) {
        nmq_linger_look(conn, now_ms, due_ms);
    } else if (silent) {
        conn->conns->role->silent(conn);
    } else if (ends_ms != 0 && ends_ms <= now_ms) {
        conn->conns->role->ended(conn);
    } else {
        due_ms = ends_ms != 0 ? sooner(ends_ms, due_ms) : due_ms;
        due_ms = idle_ms != 0 ? sooner(last_ms + idle_ms, due_ms) : due_ms;
        if (retry_ms != 0 && conn->retry_due_ms <= now_ms) {
            retry(conn);
            conn->retry_due_ms = now_ms + retry_ms;
        }
        if (retry_ms != 0) {
            conn->retry_due_ms = sooner(conn->retry_due_ms, now_ms + retry_ms);
            due_ms = sooner(conn->retry_due_ms, due_ms);
        }
        if (due_ms != INT64_MAX) {
            look_at(conn, due_ms);
        }
    }
    nmq_link_unref(&conn->link); // the timer's
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
nmq_timers_change_idle(nmq_conn *conn, int64_t idle_ms)
{
    int64_t now_ms = nmq_clock_now_ms();

    __atomic_store_n(&conn->last_packet_ms, now_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&conn->idle_ms, idle_ms, __ATOMIC_RELAXED);
    look_again(conn, now_ms);
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
