#include "net/commit.h"

#include "base/live.h"
#include "net/park.h"
#include "net/send.h"
#include "route/held.h"

enum { FIRST = 1 }; // number of a record: it is durable once anything is

// Whether it is to be read no further. Call with link.lock.
static bool
is_over(nmq_conn *conn, const nmq_journal *journal)
{
    return !conn->link.closed &&
           (NMQ_LIVE(journal->full) ||
            nmq_held_size(&conn->link) > NMQ_LIVE(conn->conns->options->outbox_max_bytes));
}

uint64_t
nmq_commit_behind(nmq_conn *conn)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    uint64_t number = nmq_held_size(link) > 0 ? link->held->last : 0;
    (void) pthread_mutex_unlock(&link->lock);
    return number;
}

bool
nmq_commit_wait(nmq_conn *conn, uint64_t logged, bool full)
{
    nmq_journal *journal = conn->conns->router->journal;
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    nmq_held *held = nmq_held_of(link, journal);
    if (held != NULL) {
        (void) nmq_held_look(held);
    }
    bool over = held != NULL && (full || is_over(conn, journal));
    bool goes = link->outbox.total > 0;
    (void) pthread_mutex_unlock(&link->lock);
    if (goes) {
        nmq_send_start(conn);
    }
    if (!over) {
        return false;
    }
    nmq_park_begin(conn, NMQ_PARK_COMMIT, 0); // before it can be ended
    (void) pthread_mutex_lock(&link->lock);
    bool waits = nmq_held_park(held, full ? FIRST : logged);
    (void) pthread_mutex_unlock(&link->lock);
    if (!waits) {
        nmq_park_end(conn, NMQ_PARK_COMMIT);
    }
    return waits;
}

void
nmq_commit_over(nmq_link *link)
{
    nmq_park_end(nmq_conn_of(link), NMQ_PARK_COMMIT);
}
