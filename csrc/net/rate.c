// rate.c - messages and bytes a second of one client: a token bucket that holds one
// second's worth. Who is over it is not read until it has paid: TCP slows the client down.
#include "base/mem.h"
#include "base/status.h"
#include "net/conn.h"

enum {
    MOST_WAIT_MS = 1000,       // then the debt is looked at again
    MOST_ELAPSED_MS = 1 << 20, // more than any debt needs
};

int
nmq_conn_set_rate(nmq_conn *conn)
{
    const nmq_options *options = conn->conns->options;

    if (options->message_rate == 0 && options->byte_rate == 0) {
        return NMQ_OK;
    }
    conn->rate = nmq_zalloc(sizeof *conn->rate);
    if (conn->rate == NULL) {
        return NMQ_ENOMEM;
    }
    conn->rate->conn = conn;
    conn->rate->timer.fire = nmq_conn_fire_rate;
    conn->rate->messages = (int64_t) options->message_rate * 1000;
    conn->rate->bytes = (int64_t) options->byte_rate * 1000;
    conn->rate->at_ms = nmq_clock_now_ms();
    return NMQ_OK;
}

// What is there after that time, in thousandths: not more than a second's worth.
static int64_t
refilled(int64_t left, uint32_t rate, int64_t elapsed_ms)
{
    int64_t full = (int64_t) rate * 1000;
    int64_t more = (elapsed_ms < MOST_ELAPSED_MS ? elapsed_ms : MOST_ELAPSED_MS) * rate;

    return left + more < full ? left + more : full;
}

// Milliseconds until nothing is owed.
static int64_t
wait_for(int64_t left, uint32_t rate)
{
    return left < 0 && rate > 0 ? (-left + rate - 1) / rate : 0;
}

static int64_t
wait_ms(const nmq_conn *conn)
{
    const nmq_options *options = conn->conns->options;
    int64_t messages = wait_for(conn->rate->messages, options->message_rate);
    int64_t bytes = wait_for(conn->rate->bytes, options->byte_rate);

    return messages > bytes ? messages : bytes;
}

static void
refill(nmq_conn *conn, int64_t now_ms)
{
    const nmq_options *options = conn->conns->options;
    nmq_rate *r = conn->rate;
    int64_t elapsed_ms = now_ms - r->at_ms;

    r->messages = refilled(r->messages, options->message_rate, elapsed_ms);
    r->bytes = refilled(r->bytes, options->byte_rate, elapsed_ms);
    r->at_ms = now_ms;
}

bool
nmq_conn_pay(nmq_conn *conn, size_t bytes, bool message, int64_t now_ms)
{
    refill(conn, now_ms);
    conn->rate->messages -= message ? 1000 : 0;
    conn->rate->bytes -= (int64_t) bytes * 1000;
    return wait_ms(conn) == 0;
}

bool
nmq_conn_wait_rate(nmq_conn *conn, int64_t now_ms)
{
    int64_t wait = wait_ms(conn);

    if (wait == 0) {
        return false;
    }
    nmq_counters_add(&conn->conns->router->counters, NMQ_COUNT_RATE_WAITS, 1);
    nmq_conn_arm(conn, &conn->rate->timer,
                 now_ms + (wait < MOST_WAIT_MS ? wait : MOST_WAIT_MS));
    return true;
}

// The silence was the broker's doing: it does not count against the keep alive.
void
nmq_conn_fire_rate(nmq_timer *timer)
{
    nmq_rate *rate = (nmq_rate *) (void *) ((uint8_t *) timer - offsetof(nmq_rate, timer));
    nmq_conn *conn = rate->conn;
    int64_t now_ms = nmq_clock_now_ms();

    __atomic_store_n(&conn->last_packet_ms, now_ms, __ATOMIC_RELAXED);
    refill(conn, now_ms);
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->closing;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing || !nmq_conn_wait_rate(conn, now_ms)) {
        nmq_conn_process(conn);
    }
    nmq_link_unref(&conn->link); // the timer's
}

void
nmq_conn_hurry(nmq_conn *conn)
{
    if (conn->rate != NULL &&
        nmq_clock_cancel(conn->conns->router->clock, &conn->rate->timer)) {
        nmq_conn_process(conn);
        nmq_link_unref(&conn->link); // the timer's
    }
}
