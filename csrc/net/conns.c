#include "net/conns.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"

enum { STRANGERS_MAX = 64 }; // while memory is out

void
nmq_conns_init(nmq_conns *conns, nmq_sessions *sessions, uint8_t *memory,
               const nmq_role *role, void *role_arg)
{
    nmq_router *router = sessions->router;
    const nmq_options *options = router->options;

    *conns = (nmq_conns){
        .role = role,
        .role_arg = role_arg,
        .router = router,
        .sessions = sessions,
        .memory = memory,
        .log = router->log,
        .counters = router->counters,
        .clock = sessions->clock,
        .options = options,
    };
    nmq_gate_init(&conns->gate, router->log, router->counters, options, router->bans);
    (void) pthread_mutex_init(&conns->lock, NULL);
    nmq_clock_cond_init(&conns->freed);
}

void
nmq_conns_fini(nmq_conns *conns)
{
    nmq_gate_fini(&conns->gate);
    nmq_map_free(&conns->by_number);
    (void) pthread_cond_destroy(&conns->freed);
    (void) pthread_mutex_destroy(&conns->lock);
}

// Whether many connections have no client yet. Both counts move, so this is about so.
static bool
strangers_are_many(const nmq_conns *conns)
{
    uint64_t known = NMQ_LIVE(conns->sessions->registry.counts.connected);

    return NMQ_LIVE(conns->gate.open) > known + STRANGERS_MAX;
}

// While memory is out a few strangers at a time may still come: those who have a session
// fetch its messages.
bool
nmq_conns_add(nmq_conns *conns, nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conns->lock);
    conn->number = ++conns->next_number;
    bool in = !conns->closing &&
              nmq_map_put(&conns->by_number, nmq_conn_key(conn), conn) == NMQ_OK;
    conns->unfreed++;
    (void) pthread_mutex_unlock(&conns->lock);
    if (NMQ_LIVE(*conns->memory) == NMQ_MEMORY_OUT && strangers_are_many(conns)) {
        nmq_counters_add(conns->counters, NMQ_COUNT_MEMORY_REFUSED, 1);
        in = false;
    }
    return in;
}

void
nmq_conns_remove(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->conns->lock);
    (void) nmq_map_del(&conn->conns->by_number, nmq_conn_key(conn));
    (void) pthread_mutex_unlock(&conn->conns->lock);
    if (conn->listener != NULL) {
        nmq_listener_leave(conn->listener, &conn->stream->peer);
    }
}

void
nmq_conns_count_freed(nmq_conns *conns)
{
    (void) pthread_mutex_lock(&conns->lock);
    if (--conns->unfreed == 0) {
        (void) pthread_cond_broadcast(&conns->freed);
    }
    (void) pthread_mutex_unlock(&conns->lock);
}

nmq_conn *
nmq_conns_find(nmq_conns *conns, uint64_t number)
{
    nmq_bytes key = {(const uint8_t *) &number, sizeof number};

    (void) pthread_mutex_lock(&conns->lock);
    nmq_conn *conn = nmq_map_get(&conns->by_number, key);
    if (conn != NULL) {
        (void) nmq_link_ref(&conn->link);
    }
    (void) pthread_mutex_unlock(&conns->lock);
    return conn;
}

nmq_conn **
nmq_conns_all(nmq_conns *conns, size_t *count)
{
    *count = 0;
    (void) pthread_mutex_lock(&conns->lock);
    nmq_conn **all = nmq_alloc(conns->by_number.count * sizeof *all);
    for (size_t i = 0; all != NULL && i < conns->by_number.cap; i++) {
        nmq_conn *conn = conns->by_number.slots[i].value;
        if (conn != NULL) {
            (void) nmq_link_ref(&conn->link);
            all[(*count)++] = conn;
        }
    }
    (void) pthread_mutex_unlock(&conns->lock);
    return all;
}

void
nmq_conns_close(nmq_conns *conns)
{
    (void) pthread_mutex_lock(&conns->lock);
    __atomic_store_n(&conns->closing, true, __ATOMIC_RELAXED);
    (void) pthread_mutex_unlock(&conns->lock);
}

bool
nmq_conns_wait_freed(nmq_conns *conns, uint32_t timeout_ms)
{
    struct timespec until = nmq_clock_after(timeout_ms);
    int rv = 0;

    (void) pthread_mutex_lock(&conns->lock);
    while (conns->unfreed > 0 && rv == 0) {
        rv = pthread_cond_timedwait(&conns->freed, &conns->lock, &until);
    }
    bool done = conns->unfreed == 0;
    (void) pthread_mutex_unlock(&conns->lock);
    return done;
}
