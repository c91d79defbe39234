// access.c - who the client of one connection is, and its access rules, kept in step with
// those in force.
#include "base/mem.h"
#include "base/status.h"
#include "net/conn.h"

nmq_bytes
nmq_conn_user_name(const nmq_conn *conn, const nmq_connect *c)
{
    nmq_bytes name = c->user_name;

    if (conn->auth != NULL && conn->auth->has_user_name) {
        name = (nmq_bytes){conn->auth->user_name.at, conn->auth->user_name.len};
    } else if (!c->has_user_name) {
        return (nmq_bytes){0};
    }
    return name.len > 0 ? name : (nmq_bytes){0}; // an empty one is nobody's
}

uint8_t
nmq_conn_proof(const nmq_conn *conn)
{
    const nmq_auth *auth = conn->auth;

    if (auth != NULL && auth->foreign) {
        return NMQ_PROOF_METHOD;
    }
    if (auth == NULL) {
        return NMQ_PROOF_WORD;
    }
    // Python answers for the users; a name that was proved without it is the certificate's.
    return auth->has_user_name && auth->method.at == NULL ? NMQ_PROOF_CERTIFICATE
                                                          : NMQ_PROOF_USERS;
}

bool
nmq_conn_users_changed(const nmq_conn *conn, uint8_t proof)
{
    return (proof == NMQ_PROOF_USERS || proof == NMQ_PROOF_WORD) &&
           nmq_rules_users_version(conn->conns->router->rules) != conn->users_version;
}

void
nmq_conn_forget_rules(nmq_conn *conn)
{
    if (conn->acl != NULL) {
        nmq_acl_view_free(conn->acl);
        nmq_free(conn->acl);
        conn->acl = NULL;
    }
}

int
nmq_conn_know(nmq_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    const nmq_acl_subject subject = {client_id, user_name, &conn->stream->peer};
    uint64_t version;
    nmq_acl *acl = nmq_rules_get(conn->conns->router->rules, &version);

    if (acl == NULL) {
        nmq_conn_forget_rules(conn);
        conn->acl_version = version;
        return NMQ_OK;
    }
    if (conn->acl == NULL) {
        conn->acl = nmq_zalloc(sizeof *conn->acl);
    }
    if (conn->acl == NULL) {
        nmq_acl_unref(acl);
        return NMQ_ENOMEM;
    }
    int rv = nmq_acl_view_make(conn->acl, acl, &subject);
    conn->acl_version = version;
    return rv;
}

bool
nmq_conn_rules_changed(const nmq_conn *conn)
{
    return nmq_rules_version(conn->conns->router->rules) != conn->acl_version;
}

nmq_origin *
nmq_conn_origin(nmq_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    if (conn->origin == NULL) {
        conn->origin = nmq_origin_new(client_id, user_name, &conn->stream->peer,
                                      nmq_conn_mount_prefix(conn).len);
    }
    return conn->origin;
}

bool
nmq_conn_may(nmq_conn *conn, enum nmq_acl_action action, nmq_bytes topic)
{
    nmq_client *client = conn->client;

    if (client != NULL && nmq_conn_rules_changed(conn)) {
        (void) pthread_mutex_lock(&client->lock);
        int rv = nmq_conn_know(conn, client->session->client_id, client->user_name);
        (void) pthread_mutex_unlock(&client->lock);
        if (rv != NMQ_OK && conn->acl == NULL) {
            return false;
        }
    }
    return conn->acl == NULL || nmq_acl_allows(conn->acl, action, topic);
}

bool
nmq_conn_deny_disconnects(const nmq_conn *conn)
{
    return conn->acl != NULL && nmq_acl_disconnects(conn->acl);
}
