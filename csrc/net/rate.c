#include "net/rate.h"

#include "base/live.h"
#include "base/mem.h"
#include "net/park.h"

enum {
    MOST_WAIT_MS = 1000,       // then the debt is looked at again
    MOST_ELAPSED_MS = 1 << 20, // more than any debt needs
};

// What the client may still send: sending takes from it, and below 0 the client waits.
// Receive side; the clock's while the connection waits.
struct nmq_rate {
    int64_t messages; // thousandths
    int64_t bytes;    // thousandths
    int64_t at_ms;    // when that was so
};

// The rates now; 0: no bound.
typedef struct {
    uint32_t messages;
    uint32_t bytes;
} rates;

static rates
rates_of(const nmq_conns *conns)
{
    return (rates){NMQ_LIVE(conns->options->message_rate),
                   NMQ_LIVE(conns->options->byte_rate)};
}

bool
nmq_rate_is_on(const nmq_conns *conns)
{
    rates now = rates_of(conns);

    return (now.messages | now.bytes) != 0 && !conns->role->dials;
}

// What is left after that time, in thousandths: not more than a second's worth.
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
    rates now = rates_of(conn->conns);
    int64_t messages = wait_for(conn->rate->messages, now.messages);
    int64_t bytes = wait_for(conn->rate->bytes, now.bytes);

    return messages > bytes ? messages : bytes;
}

static void
refill(nmq_conn *conn, int64_t now_ms)
{
    rates now = rates_of(conn->conns);
    nmq_rate *r = conn->rate;
    int64_t elapsed_ms = now_ms - r->at_ms;

    r->messages = refilled(r->messages, now.messages, elapsed_ms);
    r->bytes = refilled(r->bytes, now.bytes, elapsed_ms);
    r->at_ms = now_ms;
}

// Returns whether it owes something.
static bool
wait(nmq_conn *conn, int64_t now_ms)
{
    int64_t left_ms = wait_ms(conn);

    if (left_ms > 0) {
        nmq_park_begin(conn, NMQ_PARK_RATE,
                       now_ms + (left_ms < MOST_WAIT_MS ? left_ms : MOST_WAIT_MS));
    }
    return left_ms > 0;
}

bool
nmq_rate_wait(nmq_conn *conn, int64_t now_ms)
{
    bool waits = wait(conn, now_ms);

    nmq_counters_add(conn->conns->counters, NMQ_COUNT_RATE_WAITS, waits);
    return waits;
}

void
nmq_rate_look(nmq_conn *conn, int64_t now_ms)
{
    refill(conn, now_ms);
    if (!wait(conn, now_ms)) {
        nmq_park_end(conn, NMQ_PARK_RATE);
    }
}

// Returns false when memory is out.
static bool
begin(nmq_conn *conn, int64_t now_ms)
{
    rates now = rates_of(conn->conns);
    nmq_rate *rate = nmq_zalloc(sizeof *rate);

    if (rate == NULL) {
        return false;
    }
    rate->messages = (int64_t) now.messages * 1000;
    rate->bytes = (int64_t) now.bytes * 1000;
    rate->at_ms = now_ms;
    conn->rate = rate;
    return true;
}

bool
nmq_rate_pay(nmq_conn *conn, size_t bytes, bool message, int64_t now_ms)
{
    if (conn->rate == NULL && !begin(conn, now_ms)) {
        return true;
    }
    refill(conn, now_ms);
    conn->rate->messages -= message ? 1000 : 0;
    conn->rate->bytes -= (int64_t) bytes * 1000;
    return wait_ms(conn) == 0;
}
