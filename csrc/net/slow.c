#include "net/slow.h"

#include "base/live.h"
#include "mqtt/reason.h"
#include "net/park.h"
#include "route/deliver.h"

static size_t
max_bytes(const nmq_conn *conn)
{
    return NMQ_LIVE(conn->conns->options->outbox_max_bytes);
}

static bool
wait_for_answers(nmq_conn *conn, int64_t now_ms)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    bool waits = !link->closed && nmq_link_answers(link) > max_bytes(conn) &&
                 nmq_link_waits(link) != NULL;
    if (waits) {
        link->wait->self_ms = now_ms;
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (waits) {
        nmq_park_begin(conn, NMQ_PARK_ANSWERS, 0);
        nmq_conn_arm(conn, &link->wait->timer, now_ms + NMQ_LINK_LOOK_MS);
        nmq_slow_answers_gone(conn); // perhaps they went before it waited
    }
    return waits;
}

static bool
wait_for_subscriber(nmq_conn *conn, nmq_link *subscriber, int64_t now_ms)
{
    nmq_patience patience = nmq_deliver_patience(conn->conns->options, now_ms);
    bool first = false;

    nmq_park_begin(conn, NMQ_PARK_SLOW, 0); // before it can be resumed
    bool held = nmq_link_hold(subscriber, &conn->link, &patience, &first);
    if (first) {
        subscriber->ops->arm(subscriber, now_ms + NMQ_LINK_LOOK_MS);
    }
    if (!held) {
        nmq_park_end(conn, NMQ_PARK_SLOW);
    }
    return held;
}

bool
nmq_slow_wait(nmq_conn *conn, nmq_link *congested, int64_t now_ms)
{
    bool waits = wait_for_answers(conn, now_ms);

    return (congested != NULL && wait_for_subscriber(conn, congested, now_ms)) || waits;
}

static bool
have_gone(nmq_conn *conn, const void *unused)
{
    (void) unused;
    return nmq_link_answers(&conn->link) <= max_bytes(conn) / 2;
}

void
nmq_slow_answers_gone(nmq_conn *conn)
{
    if (nmq_park_is_for(conn, NMQ_PARK_ANSWERS)) {
        (void) nmq_park_end_if(conn, NMQ_PARK_ANSWERS, have_gone, NULL);
    }
}

// Ends a connection that takes nothing of its answers. Returns whether to look again.
static bool
look_at_answers(nmq_conn *conn, int64_t now_ms)
{
    const nmq_fault deaf = {NMQ_RC_UNSPECIFIED_ERROR, "it does not read"};
    nmq_link *link = &conn->link;
    uint32_t hold_ms = NMQ_LIVE(conn->conns->options->hold_ms);

    (void) pthread_mutex_lock(&link->lock);
    bool waits = nmq_park_is_for(conn, NMQ_PARK_ANSWERS);
    bool ends = waits && nmq_link_still_ms(link, link->wait->self_ms, now_ms) >= hold_ms &&
                nmq_conn_begin_close(conn);
    if (ends) {
        nmq_conn_note_end(conn, deaf);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (ends) {
        nmq_log_write(conn->conns->log, NMQ_LOG_WARNING, "%s: closed, %s",
                      nmq_conn_name(conn).text, deaf.why);
        conn->stream->ops->close(conn->stream);
        nmq_park_end(conn, NMQ_PARK_ALL);
    }
    return waits && !ends;
}

void
nmq_slow_look(nmq_timer *timer)
{
    nmq_link *link = ((nmq_link_wait *) (void *) timer)->link; // the timer is first
    nmq_conn *conn = nmq_conn_of(link);
    int64_t now_ms = nmq_clock_now_ms();
    bool again = nmq_deliver_look(conn->conns->router, link, &conn->client, now_ms);

    if (look_at_answers(conn, now_ms) || again) {
        nmq_conn_arm(conn, timer, now_ms + NMQ_LINK_LOOK_MS);
    }
    nmq_link_unref(link); // the timer's
}

void
nmq_slow_arm(nmq_link *link, int64_t due_ms)
{
    nmq_conn_arm(nmq_conn_of(link), &link->wait->timer, due_ms);
}
