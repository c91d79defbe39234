// conn_job.c - where a connection stops so that others have their turn, or so that its own
// answers go out first, and how it goes on.
#include "base/container.h"
#include "base/live.h"
#include "mqtt/reason.h"
#include "net/conn.h"

static void
run_job(nmq_job *job, nmq_worker *worker)
{
    nmq_conn *conn = NMQ_CONTAINER(job, nmq_conn, job);

    (void) pthread_mutex_lock(&conn->link.lock);
    unsigned what = conn->job_does;
    conn->job_does = 0;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if ((what & NMQ_CONN_JOB_SEND) != 0) {
        nmq_conn_start_sending(conn, false);
    }
    if ((what & NMQ_CONN_JOB_PACKETS) != 0) {
        nmq_conn_process(conn, worker);
    }
    nmq_link_unref(&conn->link); // the job's
}

void
nmq_conn_post_job(nmq_conn *conn, enum nmq_conn_job what)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool post = conn->job_does == 0;
    conn->job_does |= (uint8_t) what;
    conn->job.run = run_job;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (post) {
        (void) nmq_link_ref(&conn->link);
        nmq_poller_post(&conn->job);
    }
}

bool
nmq_conn_wait_for_itself(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;
    size_t max = NMQ_LIVE(conn->conns->options->outbox_max_bytes);

    (void) nmq_link_ref(link); // whoever goes on may end it all
    (void) pthread_mutex_lock(&link->lock);
    bool waits = !link->closed && !conn->closing && nmq_link_answers(link) > max &&
                 nmq_link_waits(link) != NULL;
    if (waits) {
        __atomic_store_n(&conn->waits_for_itself, true, __ATOMIC_RELAXED);
        link->wait->self_ms = now_ms;
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (waits) {
        nmq_conn_arm(conn, &link->wait->timer, now_ms + NMQ_LINK_LOOK_MS);
    }
    nmq_link_unref(link);
    return waits;
}

void
nmq_conn_answered_all(nmq_conn *conn, bool always)
{
    nmq_link *link = &conn->link;
    size_t max = NMQ_LIVE(conn->conns->options->outbox_max_bytes);

    (void) pthread_mutex_lock(&link->lock);
    bool goes_on = conn->waits_for_itself &&
                   (always || link->closed || nmq_link_answers(link) <= max / 2);
    if (goes_on) {
        __atomic_store_n(&conn->waits_for_itself, false, __ATOMIC_RELAXED);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (goes_on) {
        // The silence was the broker's doing: it does not count against the keep alive.
        __atomic_store_n(&conn->last_packet_ms, nmq_clock_now_ms(), __ATOMIC_RELAXED);
        nmq_conn_post_job(conn, NMQ_CONN_JOB_PACKETS);
    }
}

bool
nmq_conn_look_at_answers(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;
    uint32_t hold_ms = NMQ_LIVE(conn->conns->options->hold_ms);

    (void) pthread_mutex_lock(&link->lock);
    bool waits = conn->waits_for_itself;
    bool deaf = waits && nmq_link_still_ms(link, link->wait->self_ms, now_ms) >= hold_ms;
    if (deaf) {
        __atomic_store_n(&conn->waits_for_itself, false, __ATOMIC_RELAXED);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (deaf) {
        nmq_log_write(conn->conns->log, NMQ_LOG_WARNING, "%s: closed, it does not read",
                      nmq_conn_name(conn).text);
        nmq_conn_set_end(conn, (nmq_fault){NMQ_RC_UNSPECIFIED_ERROR, "it does not read"});
        nmq_conn_end(conn, true);
    }
    return waits && !deaf;
}
