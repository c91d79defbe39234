#include "net/memory.h"

#include "base/container.h"
#include "base/live.h"
#include "base/mem.h"
#include "mqtt/reason.h"
#include "net/conns.h"
#include "net/park.h"
#include "net/send.h"
#include "store/journal.h"

enum {
    LOOK_MS = 100,             // while memory is short
    CUT_PAUSE_MS = 20,         // for what was cut to be freed
    RESIDENT_PAUSE_MS = 20,    // between two questions to the system
    CUT_LEAST_BYTES = 1 << 16, // cutting less helps nobody
    // Parts of the bound.
    OUT_PART = 20,           // over it: memory is out
    OUT_LOW_PART = 32,       // over it: no longer
    SHORT_LOW_PART = 64,     // under it: no longer short
    RESIDENT_OVER_PART = 25, // over it, by what the system says: short
};

static uint64_t
total_bytes(void)
{
    return nmq_mem_held() + nmq_mem_foreign_held() + nmq_mem_other();
}

static uint8_t
level_of(uint64_t total, uint64_t max, uint8_t now)
{
    if (total > max + max / OUT_PART ||
        (now == NMQ_MEMORY_OUT && total > max + max / OUT_LOW_PART)) {
        return NMQ_MEMORY_OUT;
    }
    bool is_short =
        total > max || (now != NMQ_MEMORY_FINE && total > max - max / SHORT_LOW_PART);
    return is_short ? NMQ_MEMORY_SHORT : NMQ_MEMORY_FINE;
}

// The level by what the system says. It counts only where somebody measures the rest of the
// process: otherwise that memory may belong to another part. The system says more than the
// sum while heap lies idle that is not trimmed or measured yet.
static uint8_t
resident_level(nmq_conns *conns, uint64_t total, uint64_t max, int64_t now_ms)
{
    if (nmq_mem_other() == 0 || total < max / 2) {
        return NMQ_MEMORY_FINE;
    }
    if (nmq_clock_is_due(&conns->resident_ms, now_ms, RESIDENT_PAUSE_MS)) {
        uint64_t resident = nmq_mem_resident();
        uint8_t level = resident > max + max / OUT_PART             ? NMQ_MEMORY_OUT
                        : resident > max + max / RESIDENT_OVER_PART ? NMQ_MEMORY_SHORT
                                                                    : NMQ_MEMORY_FINE;
        NMQ_LIVE_SET(conns->resident_level, level);
    }
    return NMQ_LIVE(conns->resident_level);
}

static void
became_short(nmq_conns *conns, uint64_t total, uint64_t max, int64_t now_ms)
{
    nmq_router *router = conns->router;

    nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_SHORTAGES, 1);
    if (nmq_log_is_due(&conns->short_log_ms, now_ms)) {
        nmq_log_write(
            router->log, NMQ_LOG_ERROR,
            "memory is short: %llu bytes are taken, max_memory is %llu; what would "
            "take more is refused",
            (unsigned long long) total, (unsigned long long) max);
    }
    (void) nmq_clock_arm(conns->clock, &conns->short_timer, now_ms + LOOK_MS);
}

void
nmq_memory_look(nmq_conns *conns)
{
    nmq_router *router = conns->router;
    uint64_t max = NMQ_LIVE(router->options->memory_max_bytes);
    uint8_t now = NMQ_LIVE(*router->memory);
    uint8_t level = NMQ_MEMORY_FINE;
    uint64_t total = 0;

    if (max != 0) {
        int64_t now_ms = nmq_clock_now_ms();
        total = total_bytes();
        level = level_of(total, max, now);
        uint8_t resident = resident_level(conns, total, max, now_ms);
        level = resident > level ? resident : level;
    }
    if (level != now &&
        __atomic_exchange_n(conns->memory, level, __ATOMIC_RELAXED) == NMQ_MEMORY_FINE &&
        level != NMQ_MEMORY_FINE) {
        became_short(conns, total, max, nmq_clock_now_ms());
    }
}

// --- the connection that is cut

// Bytes that the connection holds by its own doing: received and not handled, its answers
// and QoS 0 that it does not read. 0 for one that closes.
static uint64_t
own_bytes(nmq_conn *conn)
{
    nmq_link *link = &conn->link;
    uint64_t bytes = 0;

    (void) pthread_mutex_lock(&link->lock);
    if (!nmq_send_is_closing(conn->send)) {
        bytes = NMQ_LIVE(conn->held_in) + nmq_link_unkept(link);
    }
    (void) pthread_mutex_unlock(&link->lock);
    return bytes;
}

// Returns a reference to the connection that holds the most, or NULL.
static nmq_conn *
find_largest(nmq_conns *conns, uint64_t *bytes)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);
    nmq_conn *largest = NULL;

    *bytes = CUT_LEAST_BYTES - 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t own = own_bytes(all[i]);
        nmq_conn *loser = all[i];
        if (own > *bytes) {
            loser = largest;
            largest = all[i];
            *bytes = own;
        }
        if (loser != NULL) {
            nmq_link_unref(&loser->link);
        }
    }
    nmq_free(all);
    return largest;
}

// Closes the connection; its session stays.
static void
cut(nmq_conns *conns, nmq_conn *conn, uint64_t bytes)
{
    nmq_router *router = conns->router;
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    nmq_bytes id = conn->client != NULL ? conn->client->session->client_id : (nmq_bytes){0};
    (void) pthread_mutex_unlock(&link->lock);
    nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_CUTS, 1);
    nmq_log_write(router->log, NMQ_LOG_ERROR,
                  "memory is out: cut '%s' (%s), whose connection held %llu bytes",
                  nmq_log_quoted(id).text, nmq_conn_name(conn).text,
                  (unsigned long long) bytes);
    nmq_send_disconnect(link, NMQ_RC_QUOTA_EXCEEDED);
    conn->stream->ops->close(conn->stream); // what waits for it would not fit through
    nmq_link_relieve(link, 0, true);
}

static void
cut_largest(nmq_conns *conns)
{
    uint64_t bytes;

    uint64_t max = NMQ_LIVE(conns->options->memory_max_bytes);
    if (max == 0 || level_of(total_bytes(), max, NMQ_MEMORY_FINE) != NMQ_MEMORY_OUT ||
        !nmq_clock_is_due(&conns->cut_ms, nmq_clock_now_ms(), CUT_PAUSE_MS)) {
        return;
    }
    nmq_conn *conn = find_largest(conns, &bytes);
    if (conn != NULL) {
        cut(conns, conn, bytes);
        nmq_link_unref(&conn->link);
    }
}

void
nmq_memory_check(nmq_conns *conns)
{
    if (nmq_mem_due()) {
        nmq_memory_look(conns);
        cut_largest(conns);
    }
}

// --- connections that wait

// Puts the connection on the list of those that wait; takes a reference of the caller's.
static void
enlist(nmq_conn *conn)
{
    nmq_conns *conns = conn->conns;

    (void) pthread_mutex_lock(&conns->lock);
    bool first = conns->short_of == NULL; // the others do not put the timer off
    conn->next_short = conns->short_of;
    conns->short_of = conn;
    (void) pthread_mutex_unlock(&conns->lock);
    if (first) {
        (void) nmq_clock_arm(conns->clock, &conns->short_timer,
                             nmq_clock_now_ms() + LOOK_MS);
    }
}

void
nmq_memory_wait(nmq_conn *conn)
{
    if (conn->short_ms == 0) {
        conn->short_ms = nmq_clock_now_ms();
        const nmq_router *router = conn->conns->router;
        bool is_short = NMQ_LIVE(*router->memory) != NMQ_MEMORY_FINE;
        bool is_full = nmq_journal_may(router->journal, 0) == NMQ_ENOSPC;
        nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_REFUSED, is_short);
        nmq_counters_add(router->counters, NMQ_COUNT_DURABILITY_REFUSED,
                         !is_short && is_full);
    }
    nmq_park_begin(conn, NMQ_PARK_MEMORY, 0);
    (void) nmq_link_ref(&conn->link);
    enlist(conn);
}

// What is short now; NULL: nothing. *hold_ms: how long who waits does so at most.
static const char *
what_is_short(const nmq_router *router, int64_t *hold_ms)
{
    const nmq_journal *journal = router->journal;

    *hold_ms = NMQ_LIVE(router->options->hold_ms);
    if (NMQ_LIVE(*router->memory) != NMQ_MEMORY_FINE) {
        return "memory is short";
    }
    if (nmq_journal_may(journal, 0) == NMQ_ENOSPC) {
        *hold_ms = NMQ_LIVE(journal->hold_ms);
        return "there is no room to keep what it publishes";
    }
    return NULL;
}

// A connection that waited goes on, waits on, or is closed: it has waited for long enough,
// with all that it has waited for the same packet.
static void
wait_on(nmq_conn *conn, int64_t now_ms)
{
    nmq_router *router = conn->conns->router;
    bool waits = nmq_park_is_for(conn, NMQ_PARK_MEMORY);
    int64_t hold_ms;
    const char *what = waits ? what_is_short(router, &hold_ms) : NULL;

    if (what != NULL && now_ms - conn->short_ms < hold_ms) {
        enlist(conn);
        return;
    }
    if (what != NULL) { // the client sends again later
        nmq_log_write(router->log, NMQ_LOG_WARNING, "%s: closed, %s",
                      nmq_conn_name(conn).text, what);
        nmq_send_disconnect(&conn->link, NMQ_RC_QUOTA_EXCEEDED);
    }
    if (waits) {
        nmq_park_end(conn, NMQ_PARK_MEMORY);
    }
    nmq_link_unref(&conn->link); // the list's
}

static void
fire(nmq_timer *timer)
{
    nmq_conns *conns = NMQ_CONTAINER(timer, nmq_conns, short_timer);
    int64_t now_ms = nmq_clock_now_ms();

    nmq_memory_look(conns);
    cut_largest(conns);
    (void) pthread_mutex_lock(&conns->lock);
    nmq_conn *waiting = conns->short_of;
    conns->short_of = NULL;
    (void) pthread_mutex_unlock(&conns->lock);
    while (waiting != NULL) {
        nmq_conn *conn = waiting;
        waiting = conn->next_short;
        wait_on(conn, now_ms);
    }
    if (NMQ_LIVE(*conns->memory) != NMQ_MEMORY_FINE) {
        (void) nmq_clock_arm(conns->clock, timer, now_ms + LOOK_MS);
    }
}

// --- who holds what

static uint64_t
connection_bytes(nmq_conns *conns)
{
    (void) pthread_mutex_lock(&conns->lock);
    uint64_t unfreed = conns->unfreed;
    (void) pthread_mutex_unlock(&conns->lock);
    return unfreed * conns->role->size +
           nmq_counters_sum(conns->counters, NMQ_COUNT_BUFFER_BYTES);
}

// Messages in memory are retained, are wills, or are kept by sessions. The figures move
// while they are read.
static uint64_t
session_bytes(nmq_registry *registry, const nmq_memory *others)
{
    uint64_t messages, bytes;
    uint64_t not_theirs = others->retained + others->wills;

    nmq_message_totals(&messages, &bytes);
    (void) pthread_mutex_lock(&registry->lock);
    uint64_t clients = registry->clients.count;
    (void) pthread_mutex_unlock(&registry->lock);
    return clients * (sizeof(nmq_client) + sizeof(nmq_session)) +
           (bytes > not_theirs ? bytes - not_theirs : 0);
}

// Visits no client: the event loop asks for this, and its cost must not grow with the
// clients.
void
nmq_memory_report(nmq_conns *conns, nmq_memory *out)
{
    nmq_router *router = conns->router;
    nmq_registry *registry = &conns->sessions->registry;

    *out = (nmq_memory){
        .total = total_bytes(),
        .max = NMQ_LIVE(router->options->memory_max_bytes),
        .retained = nmq_retained_bytes(router->retained),
        .wills = NMQ_LIVE(registry->counts.will_bytes),
        .subscriptions = nmq_counters_sum(router->counters, NMQ_COUNT_SUBSCRIPTION_BYTES),
        .connections = connection_bytes(conns),
        .tls = nmq_mem_foreign_held(),
        .other = nmq_mem_other(),
        .level = NMQ_LIVE(*router->memory),
    };
    out->sessions = session_bytes(registry, out);
}

void
nmq_memory_init(nmq_conns *conns)
{
    conns->short_timer.fire = fire;
}
