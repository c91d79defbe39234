#include "net/rate.h"

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
} bounds;

static bounds
bounds_of(const nmq_conn *conn)
{
    const nmq_options *options = conn->conns->options;
    uint8_t own = NMQ_LIVE(conn->own_rates);

    return (bounds){
        (own & NMQ_OWN_MESSAGE_RATE) != 0 ? NMQ_LIVE(conn->message_rate)
                                          : NMQ_LIVE(options->message_rate),
        (own & NMQ_OWN_BYTE_RATE) != 0 ? NMQ_LIVE(conn->byte_rate)
                                       : NMQ_LIVE(options->byte_rate),
    };
}

void
nmq_rate_set(nmq_conn *conn, const nmq_own_rates *rates)
{
    NMQ_LIVE_SET(conn->message_rate, rates->messages);
    NMQ_LIVE_SET(conn->byte_rate, rates->bytes);
    NMQ_LIVE_SET(conn->own_rates, (uint8_t) (rates->own | NMQ_OWN_NEW));
}

// What is left after that time, in thousandths: not more than a second's worth. Nothing is
// owed, and nothing saved, while there is no rate.
static int64_t
refilled(int64_t left, uint32_t rate, int64_t elapsed_ms)
{
    if (rate == 0) {
        return 0;
    }
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
    bounds now = bounds_of(conn);
    int64_t messages = wait_for(conn->rate->messages, now.messages);
    int64_t bytes = wait_for(conn->rate->bytes, now.bytes);

    return messages > bytes ? messages : bytes;
}

static void
fill(nmq_rate *r, const bounds *now, int64_t now_ms)
{
    r->messages = (int64_t) now->messages * 1000;
    r->bytes = (int64_t) now->bytes * 1000;
    r->at_ms = now_ms;
}

static void
refill(nmq_conn *conn, int64_t now_ms)
{
    const uint8_t known = (uint8_t) ~NMQ_OWN_NEW;
    nmq_rate *r = conn->rate;
    int64_t elapsed_ms = now_ms - r->at_ms;
    bounds now = bounds_of(conn);

    if ((NMQ_LIVE(conn->own_rates) & NMQ_OWN_NEW) != 0) {
        (void) __atomic_fetch_and(&conn->own_rates, known, __ATOMIC_RELAXED);
        now = bounds_of(conn);
        fill(r, &now, now_ms);
        return;
    }
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
    bounds now = bounds_of(conn);
    nmq_rate *rate = nmq_zalloc(sizeof *rate);

    if (rate == NULL) {
        return false;
    }
    fill(rate, &now, now_ms);
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
