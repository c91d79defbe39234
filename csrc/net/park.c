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

void
nmq_park_yield(nmq_conn *conn, enum nmq_job_kind what)
{
    nmq_conn_set_recv(conn, NMQ_RECV_YIELDS);
    nmq_park_post_job(conn, what);
}

bool
nmq_park_for_answers(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;
    size_t max = NMQ_LIVE(conn->conns->options->outbox_max_bytes);

    (void) nmq_link_ref(link); // whoever goes on may end it all
    (void) pthread_mutex_lock(&link->lock);
    bool waits =
        !link->closed && nmq_link_answers(link) > max && nmq_link_waits(link) != NULL;
    if (waits) {
        nmq_conn_set_recv(conn, NMQ_RECV_ANSWERS);
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
    size_t max = NMQ_LIVE(conn->conns->options->outbox_max_bytes);

    (void) pthread_mutex_lock(&link->lock);
    bool goes_on = nmq_conn_recv(conn) == NMQ_RECV_ANSWERS &&
                   (always || link->closed || nmq_link_answers(link) <= max / 2);
    if (goes_on) {
        nmq_conn_forgive_silence(conn);
        nmq_conn_set_recv(conn, NMQ_RECV_YIELDS);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (goes_on) {
        nmq_park_post_job(conn, NMQ_JOB_PACKETS);
    }
}

bool
nmq_park_look(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;
    uint32_t hold_ms = NMQ_LIVE(conn->conns->options->hold_ms);

    (void) pthread_mutex_lock(&link->lock);
    bool waits = nmq_conn_recv(conn) == NMQ_RECV_ANSWERS;
    bool deaf = waits && nmq_link_still_ms(link, link->wait->self_ms, now_ms) >= hold_ms;
    if (deaf) {
        nmq_conn_set_recv(conn, NMQ_RECV_YIELDS);
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
    nmq_conn_set_recv(conn, NMQ_RECV_ASKED);
    (void) pthread_mutex_unlock(&conn->link.lock);
}

bool
nmq_park_answered(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool mine = nmq_conn_recv(conn) == NMQ_RECV_ASKED;
    if (mine) { // whoever takes it back is the receive side now
        nmq_conn_set_recv(conn, NMQ_RECV_HANDLING);
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    return mine;
}
