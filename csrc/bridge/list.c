#include "bridge/list.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "bridge/change.h"
#include "bridge/role.h"
#include "bridge/tell.h"
#include "mqtt/reason.h"
#include "net/close_all.h"
#include "net/memory.h"

enum { KEPT_FOR_EVER = -1 }; // Session Expiry Interval

nmq_bridge *
nmq_bridges_find_name(const nmq_bridges *bridges, nmq_bytes client_id)
{
    nmq_bridge *bridge = bridges->first;

    while (bridge != NULL &&
           !nmq_bytes_equal(bridge->client->session->client_id, client_id)) {
        bridge = bridge->next;
    }
    return bridge;
}

nmq_bridge *
nmq_bridges_find(const nmq_bridges *bridges, uint64_t number)
{
    nmq_bridge *bridge = bridges->first;

    while (bridge != NULL && bridge->client->number != number) {
        bridge = bridge->next;
    }
    return bridge;
}

void
nmq_bridges_init(nmq_bridges *bridges, nmq_consumers *consumers, uint8_t *memory)
{
    *bridges = (nmq_bridges){.consumers = consumers, .memory = memory, .fd = -1};
    (void) pthread_mutex_init(&bridges->turn, NULL);
    (void) pthread_mutex_init(&bridges->lock, NULL);
}

int
nmq_bridges_begin(nmq_bridges *bridges)
{
    if (bridges->conns != NULL) {
        return NMQ_OK;
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return NMQ_EFILES;
    }
    nmq_conns *conns = nmq_zalloc(sizeof *conns);
    if (conns == NULL) {
        (void) close(fd);
        return NMQ_ENOMEM;
    }
    nmq_conns_init(conns, bridges->consumers->sessions, bridges->memory, &nmq_bridge_role,
                   bridges);
    nmq_memory_init(conns);
    bridges->conns = conns;
    __atomic_store_n(&bridges->fd, fd, __ATOMIC_RELEASE);
    return NMQ_OK;
}

// Gives up its dial, and takes its connection, with the reference. Call with the turn.
static nmq_conn *
take_conn(nmq_bridge *bridge, bool *was_up)
{
    nmq_bridges *bridges = bridge->bridges;

    if (bridge->dial != NULL) { // then no connection comes of it any more
        nmq_dial_cancel(bridge->dial);
        nmq_dial_unref(bridge->dial);
        bridge->dial = NULL;
    }
    (void) pthread_mutex_lock(&bridges->lock);
    nmq_conn *conn = bridge->conn;
    *was_up = conn != NULL && bridge->news.state == NMQ_BRIDGE_UP;
    bridge->conn = NULL;
    if (bridge->news.state == NMQ_BRIDGE_DIALLING || conn != NULL) {
        bridge->news.state = NMQ_BRIDGE_IDLE;
    }
    (void) pthread_mutex_unlock(&bridges->lock);
    return conn;
}

void
nmq_bridge_hang_up(nmq_bridge *bridge, uint8_t reason_code)
{
    bool was_up;
    nmq_conn *conn = take_conn(bridge, &was_up);

    if (was_up) {
        nmq_bridge_event_down(nmq_bridge_conn_of(conn), NMQ_WHY_BROKER,
                              (nmq_fault){reason_code, NULL});
    }
    if (conn != NULL) {
        nmq_bridge_conn_end(conn, reason_code);
        nmq_link_unref(&conn->link);
    }
}

// Finds the client of that bridge, restored, or makes it. Returns a reference, or NULL.
static nmq_client *
find_or_make_client(nmq_consumers *consumers, nmq_bytes client_id)
{
    (void) pthread_mutex_lock(&consumers->lock);
    nmq_consumer *kept = nmq_consumers_find(consumers, client_id);
    nmq_client *client = NULL;
    if (kept != NULL) {
        client = kept->client->bridges ? nmq_client_ref(kept->client) : NULL;
    } else if ((client = nmq_client_new(&consumers->sessions->registry.counts,
                                        client_id)) != NULL) {
        client->bridges = true;
        client->expiry_interval_s = (uint32_t) KEPT_FOR_EVER;
        client->created_at_ms = nmq_clock_wall_ms();
        if (nmq_consumers_add(consumers, nmq_client_ref(client)) == NULL) {
            nmq_client_unref(client);
            nmq_client_unref(client);
            client = NULL;
        }
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    return client;
}

nmq_bridge *
nmq_bridges_add(nmq_bridges *bridges, nmq_bytes client_id, nmq_bridge_settings *settings)
{
    nmq_bridge *bridge = nmq_zalloc(sizeof *bridge);
    nmq_client *client =
        bridge != NULL ? find_or_make_client(bridges->consumers, client_id) : NULL;

    if (client == NULL) {
        nmq_free(bridge);
        return NULL;
    }
    bridge->bridges = bridges;
    bridge->refs = 1;
    bridge->client = client;
    bridge->settings = nmq_bridge_settings_ref(settings);
    bridge->qos_max = 2;
    bridge->news.number = client->number;
    (void) pthread_mutex_lock(&bridges->lock);
    bridge->next = bridges->first;
    bridges->first = bridge;
    (void) pthread_mutex_unlock(&bridges->lock);
    return bridge;
}

void
nmq_bridges_remove(nmq_bridge *bridge)
{
    nmq_bridges *bridges = bridge->bridges;
    nmq_bridge **at = &bridges->first;

    nmq_bridge_hang_up(bridge, NMQ_RC_SUCCESS);
    nmq_bridge_watch(bridge, false);
    (void) pthread_mutex_lock(&bridges->lock);
    while (*at != bridge) {
        at = &(*at)->next;
    }
    *at = bridge->next;
    (void) pthread_mutex_unlock(&bridges->lock);
    nmq_bridge_unref(bridge); // the list's
}

void
nmq_bridges_stop(nmq_bridges *bridges, uint32_t timeout_ms)
{
    (void) pthread_mutex_lock(&bridges->turn);
    bridges->stopped = true;
    for (nmq_bridge *bridge = bridges->first; bridge != NULL; bridge = bridge->next) {
        nmq_bridge_hang_up(bridge, NMQ_RC_SUCCESS);
    }
    nmq_conns *conns = bridges->conns;
    (void) pthread_mutex_unlock(&bridges->turn);
    if (conns != NULL) {
        nmq_close_all(conns, NMQ_RC_SUCCESS, timeout_ms);
    }
}

void
nmq_bridges_forget(nmq_bridges *bridges)
{
    while (bridges->first != NULL) {
        nmq_bridge *bridge = bridges->first;
        bridges->first = bridge->next;
        nmq_bridge_unref(bridge);
    }
}

void
nmq_bridges_fini(nmq_bridges *bridges)
{
    if (bridges->conns != NULL) {
        nmq_conns_fini(bridges->conns);
        nmq_free(bridges->conns);
        (void) close(bridges->fd);
    }
    (void) pthread_mutex_destroy(&bridges->turn);
    (void) pthread_mutex_destroy(&bridges->lock);
}
