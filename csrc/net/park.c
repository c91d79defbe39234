#include "net/park.h"

enum { TIMED = NMQ_PARK_RATE | NMQ_PARK_QUESTION };

void
nmq_park_post_job(nmq_conn *conn, enum nmq_job_kind what)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool post = conn->job_does == 0;
    conn->job_does |= (uint8_t) what;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (post) {
        (void) nmq_link_ref(&conn->link);
        nmq_poller_post(&conn->job);
    }
}

void
nmq_park_yield(nmq_conn *conn)
{
    nmq_conn_set_recv(conn, NMQ_RECV_YIELDS);
    nmq_park_post_job(conn, NMQ_JOB_PACKETS);
}

// The timer is there for silence and the end of its time, too: it is never armed for later
// than these.
static void
arm(nmq_conn *conn, int64_t due_ms)
{
    int64_t ends_ms = __atomic_load_n(&conn->ends_ms, __ATOMIC_RELAXED);
    int64_t idle_ms = __atomic_load_n(&conn->idle_ms, __ATOMIC_RELAXED);
    int64_t silent_ms = __atomic_load_n(&conn->last_packet_ms, __ATOMIC_RELAXED) + idle_ms;

    due_ms = ends_ms != 0 && ends_ms < due_ms ? ends_ms : due_ms;
    nmq_conn_arm(conn, &conn->timer,
                 idle_ms != 0 && silent_ms < due_ms ? silent_ms : due_ms);
}

static void
set_reasons(nmq_conn *conn, unsigned reasons)
{
    __atomic_store_n(&conn->parked_for, (uint8_t) reasons, __ATOMIC_RELAXED);
}

void
nmq_park_begin(nmq_conn *conn, enum nmq_park_reason why, int64_t due_ms)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    set_reasons(conn, conn->parked_for | why);
    if (due_ms != 0) {
        conn->park_due_ms = due_ms;
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (due_ms != 0) {
        arm(conn, due_ms);
    }
}

// Takes reasons away. Returns whether it was parked and none is left: then the caller posts
// the job. Call with link.lock.
static bool
take_away(nmq_conn *conn, unsigned why)
{
    set_reasons(conn, conn->parked_for & ~why);
    if ((why & TIMED) != 0) {
        conn->park_due_ms = 0;
    }
    bool goes_on = conn->parked_for == 0 && nmq_conn_recv(conn) == NMQ_RECV_PARKED;
    if (goes_on) {
        nmq_conn_forgive_silence(conn);
        nmq_conn_set_recv(conn, NMQ_RECV_YIELDS);
    }
    return goes_on;
}

void
nmq_park_rest(nmq_conn *conn)
{
    (void) nmq_link_ref(&conn->link); // whoever goes on may end it all
    (void) pthread_mutex_lock(&conn->link.lock);
    nmq_conn_set_recv(conn, NMQ_RECV_PARKED);
    bool goes_on = take_away(conn, nmq_send_is_closing(conn->send) ? NMQ_PARK_ALL : 0);
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (goes_on) {
        nmq_park_post_job(conn, NMQ_JOB_PACKETS);
    }
    nmq_link_unref(&conn->link);
}

bool
nmq_park_end_if(nmq_conn *conn, enum nmq_park_reason why, nmq_park_fn *is_over,
                const void *arg)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool is_end = (conn->parked_for & why) != 0 && is_over(conn, arg);
    bool goes_on = is_end && take_away(conn, why);
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (goes_on) {
        nmq_park_post_job(conn, NMQ_JOB_PACKETS);
    }
    return is_end;
}

static bool
always(nmq_conn *conn, const void *arg)
{
    (void) conn;
    (void) arg;
    return true;
}

void
nmq_park_end(nmq_conn *conn, enum nmq_park_reason why)
{
    (void) nmq_park_end_if(conn, why, always, NULL);
}

bool
nmq_park_end_here(nmq_conn *conn, enum nmq_park_reason why)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool goes_on = (conn->parked_for & why) != 0 && take_away(conn, why);
    bool reads =
        goes_on && !conn->has_packets && !conn->asked && !nmq_send_is_closing(conn->send);
    if (reads) {
        nmq_conn_set_recv(conn, NMQ_RECV_HANDLING);
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (goes_on && !reads) {
        nmq_park_post_job(conn, NMQ_JOB_PACKETS);
    }
    return reads;
}

unsigned
nmq_park_reasons(nmq_conn *conn, int64_t *due_ms)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    unsigned reasons = conn->parked_for;
    *due_ms = conn->park_due_ms;
    (void) pthread_mutex_unlock(&conn->link.lock);
    return reasons;
}
