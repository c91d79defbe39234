// memory.c - the bound on what the core holds for all clients together: past it, whoever
// holds the most is cut, with its session.
//
// What a client holds: bytes of its connection that are not handled or not sent, and the
// messages of its session, each in full however many sessions share it.
#include "base/live.h"
#include "base/mem.h"
#include "mqtt/reason.h"
#include "net/conn.h"

enum {
    LOOK_PAUSE_MS = 20,      // for what was cut to be freed
    LEAST_BYTES = 64 * 1024, // cutting less helps nobody
};

typedef struct {
    nmq_conn *conn;     // a reference; NULL: none, or an absent client
    nmq_client *client; // a reference; NULL: a stranger
    uint64_t bytes;
} holder;

static void
holder_fini(holder *h)
{
    nmq_client_unref(h->client);
    if (h->conn != NULL) {
        nmq_link_unref(&h->conn->link);
    }
}

static void
keep_larger(holder *most, nmq_conn *conn, nmq_client *client, uint64_t bytes)
{
    if (bytes > most->bytes) {
        holder_fini(most);
        *most = (holder){
            .conn = conn,
            .client = client != NULL ? nmq_client_ref(client) : NULL,
            .bytes = bytes,
        };
        if (conn != NULL) {
            (void) nmq_link_ref(&conn->link);
        }
    }
}

static void
look_at_conns(nmq_conns *conns, holder *most)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);

    for (size_t i = 0; i < count; i++) {
        nmq_conn *conn = all[i];
        (void) pthread_mutex_lock(&conn->link.lock);
        uint64_t bytes = conn->closing
                             ? 0
                             : nmq_link_backlog(&conn->link) +
                                   __atomic_load_n(&conn->held_in, __ATOMIC_RELAXED);
        nmq_client *client = conn->closing ? NULL : conn->client;
        (void) pthread_mutex_unlock(&conn->link.lock);
        if (client != NULL) {
            (void) pthread_mutex_lock(&client->lock);
            bytes +=
                client->link == &conn->link ? nmq_session_held_bytes(client->session) : 0;
            (void) pthread_mutex_unlock(&client->lock);
        }
        keep_larger(most, conn, client, bytes);
        nmq_link_unref(&conn->link);
    }
    nmq_free(all);
}

static void
look_at_absent(nmq_router *router, holder *most)
{
    nmq_client **all;
    int n = nmq_registry_all(router, &all);

    for (int i = 0; i < n; i++) {
        (void) pthread_mutex_lock(&all[i]->lock);
        uint64_t bytes = all[i]->link == NULL ? nmq_session_held_bytes(all[i]->session) : 0;
        (void) pthread_mutex_unlock(&all[i]->lock);
        keep_larger(most, NULL, all[i], bytes);
        nmq_client_unref(all[i]);
    }
    if (n >= 0) {
        nmq_free(all);
    }
}

static void
cut(nmq_conns *conns, const holder *most)
{
    nmq_router *router = conns->router;
    nmq_bytes id = most->client != NULL ? most->client->session->client_id : (nmq_bytes){0};

    nmq_counters_add(&router->counters, NMQ_COUNT_MEMORY_CUTS, 1);
    nmq_log_write(
        &router->log, NMQ_LOG_ERROR,
        "memory: %llu bytes held, over max_memory; cut '%.*s' (%s), which held %llu",
        (unsigned long long) nmq_mem_held(), (int) id.len, (const char *) id.at,
        most->conn != NULL ? nmq_conn_name(most->conn).text : "away",
        (unsigned long long) most->bytes);
    if (most->client != NULL) {
        nmq_registry_discard(router, most->client, NMQ_RC_QUOTA_EXCEEDED);
    }
    if (most->conn != NULL) { // what waits for it would not fit through
        nmq_conn_disconnect(&most->conn->link, NMQ_RC_QUOTA_EXCEEDED);
        most->conn->stream->ops->close(most->conn->stream);
        nmq_link_relieve(&most->conn->link, 0, true);
    }
}

void
nmq_conns_relieve(nmq_conns *conns)
{
    uint64_t max = NMQ_LIVE(conns->router->limits.memory_max_bytes);
    holder most = {0};

    if (max == 0 || !nmq_mem_due() || nmq_mem_held() <= max) {
        return;
    }
    int64_t now_ms = nmq_clock_now_ms();
    int64_t last_ms = __atomic_load_n(&conns->relieved_ms, __ATOMIC_RELAXED);
    if (now_ms - last_ms < LOOK_PAUSE_MS ||
        !__atomic_compare_exchange_n(&conns->relieved_ms, &last_ms, now_ms, false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        return; // another thread sees to it
    }
    look_at_conns(conns, &most);
    look_at_absent(conns->router, &most);
    if (most.bytes >= LEAST_BYTES) {
        cut(conns, &most);
    }
    holder_fini(&most);
}
