#include "net/park.h"

#include "base/live.h"
#include "mqtt/reason.h"

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

bool
nmq_park_for_answers(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;
    size_t max = NMQ_LIVE(conn->conns->router->limits.outbox_max_bytes);

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
nmq_park_answers_gone(nmq_conn *conn, bool always)
{
    nmq_link *link = &conn->link;
    size_t max = NMQ_LIVE(conn->conns->router->limits.outbox_max_bytes);

    (void) pthread_mutex_lock(&link->lock);
    bool goes_on = conn->waits_for_itself &&
                   (always || link->closed || nmq_link_answers(link) <= max / 2);
    if (goes_on) {
        __atomic_store_n(&conn->waits_for_itself, false, __ATOMIC_RELAXED);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (goes_on) {
        nmq_conn_forgive_silence(conn);
        nmq_park_post_job(conn, NMQ_JOB_PACKETS);
    }
}

bool
nmq_park_look(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;
    uint32_t hold_ms = NMQ_LIVE(conn->conns->router->limits.hold_ms);

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
        nmq_park_post_job(conn, NMQ_JOB_END);
    }
    return waits && !deaf;
}

void
nmq_park_for_answer(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->asking = true;
    (void) pthread_mutex_unlock(&conn->link.lock);
}

bool
nmq_park_answered(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool mine = conn->asking; // whoever takes it back is the receive side now
    conn->asking = false;
    (void) pthread_mutex_unlock(&conn->link.lock);
    return mine;
}
