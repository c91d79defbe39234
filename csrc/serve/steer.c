#include "serve/steer.h"

#include "base/mem.h"
#include "base/status.h"
#include "net/timers.h"
#include "serve/kept.h"
#include "serve/negotiated.h"

// Returns a reference to the connection of the client, or NULL.
static nmq_server_conn *
find(nmq_sessions *sessions, nmq_bytes client_id, uint16_t *keep_alive_s)
{
    nmq_client *client = nmq_registry_find(&sessions->registry, client_id);
    nmq_link *link = NULL;

    if (client == NULL) {
        return NULL;
    }
    (void) pthread_mutex_lock(&client->lock);
    if (client->link != NULL) {
        link = nmq_link_ref(client->link);
    }
    if (link != NULL && keep_alive_s != NULL) {
        client->keep_alive_s = *keep_alive_s;
    }
    (void) pthread_mutex_unlock(&client->lock);
    nmq_client_unref(client);
    return (nmq_server_conn *) (void *) link; // only servers give clients links
}

int
nmq_steer_keep_alive(nmq_sessions *sessions, nmq_bytes client_id, uint16_t keep_alive_s)
{
    nmq_server_conn *conn = find(sessions, client_id, &keep_alive_s);

    if (conn == NULL) {
        return NMQ_ENOENT;
    }
    nmq_timers_change_idle(&conn->net,
                           nmq_negotiated_idle_ms(sessions->router->options, keep_alive_s));
    nmq_link_unref(&conn->net.link);
    return NMQ_OK;
}

int
nmq_steer_rates(nmq_sessions *sessions, nmq_bytes client_id, const nmq_own_rates *rates)
{
    nmq_server_conn *conn = find(sessions, client_id, NULL);

    if (conn == NULL) {
        return NMQ_ENOENT;
    }
    nmq_rate_set(&conn->net, rates);
    nmq_link_unref(&conn->net.link);
    return NMQ_OK;
}

int
nmq_steer_kept(nmq_sessions *sessions, nmq_bytes client_id, nmq_kept_row *rows)
{
    nmq_server_conn *conn = find(sessions, client_id, NULL);

    if (conn == NULL) {
        return NMQ_ENOENT;
    }
    uint32_t count = nmq_kept_rows(conn, rows);
    nmq_link_unref(&conn->net.link);
    return (int) count;
}

int
nmq_steer_forget(nmq_sessions *sessions, nmq_bytes client_id)
{
    nmq_server_conn *conn = find(sessions, client_id, NULL);

    if (conn == NULL) {
        return NMQ_ENOENT;
    }
    nmq_kept_free(conn);
    nmq_link_unref(&conn->net.link);
    return NMQ_OK;
}

void
nmq_steer_forget_all(nmq_conns *conns)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);

    for (size_t i = 0; i < count; i++) {
        nmq_kept_free(nmq_server_conn_of(all[i]));
        nmq_link_unref(&all[i]->link);
    }
    nmq_free(all);
}
