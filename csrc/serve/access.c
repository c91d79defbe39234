#include "serve/access.h"

#include "base/mem.h"
#include "base/status.h"
#include "serve/ask.h"
#include "serve/exchange.h"
#include "serve/kept.h"
#include "serve/mount.h"

nmq_bytes
nmq_access_user_name(const nmq_server_conn *conn, const nmq_connect *c)
{
    nmq_bytes name = c->user_name;

    if (conn->exchange != NULL && conn->exchange->has_user_name) {
        name = (nmq_bytes){conn->exchange->user_name.at, conn->exchange->user_name.len};
    } else if (!c->has_user_name) {
        return (nmq_bytes){0};
    }
    return name.len > 0 ? name : (nmq_bytes){0}; // an empty one is nobody's
}

uint8_t
nmq_access_proof(const nmq_server_conn *conn)
{
    const nmq_exchange *exchange = conn->exchange;

    if (exchange != NULL && exchange->foreign) {
        return NMQ_PROOF_METHOD;
    }
    if (exchange == NULL) {
        return NMQ_PROOF_WORD;
    }
    // Python answers for the users; a name that was proved without it is from a
    // certificate.
    return exchange->has_user_name && exchange->method.at == NULL ? NMQ_PROOF_CERTIFICATE
                                                                  : NMQ_PROOF_USERS;
}

bool
nmq_access_users_changed(const nmq_server_conn *conn, uint8_t proof)
{
    const nmq_rules *rules = conn->net.conns->router->rules;

    if (proof == NMQ_PROOF_METHOD) { // wraps around as users_version does
        return (int32_t) ((uint32_t) nmq_rules_foreign_version(rules) -
                          conn->users_version) > 0;
    }
    return proof != NMQ_PROOF_CERTIFICATE &&
           (uint32_t) nmq_rules_users_version(rules) != conn->users_version;
}

void
nmq_access_forget(nmq_server_conn *conn)
{
    if (conn->acl != NULL) {
        nmq_acl_view_free(conn->acl);
        nmq_free(conn->acl);
        conn->acl = NULL;
    }
}

int
nmq_access_know(nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    const nmq_acl_subject subject = {client_id, user_name, &conn->net.stream->peer,
                                     conn->superuser, conn->own};
    uint64_t version;
    nmq_acl *acl = nmq_rules_get(conn->net.conns->router->rules, &version);

    nmq_kept_free(conn); // it was answered beside other rules
    if ((acl == NULL && conn->own == NULL) || conn->superuser) {
        nmq_acl_unref(acl);
        nmq_access_forget(conn);
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

nmq_origin *
nmq_access_origin(nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    bool exempt = conn->superuser || conn->vouched;

    if (conn->origin != NULL && conn->origin->superuser == exempt) {
        return conn->origin;
    }
    nmq_origin_unref(conn->origin);
    conn->origin = nmq_origin_new(client_id, user_name, &conn->net.stream->peer,
                                  nmq_mount_prefix(conn).len, conn->net.listener->key);
    if (conn->origin != NULL) {
        conn->origin->superuser = exempt;
    }
    return conn->origin;
}

// Looks up the rules anew if they have changed. Returns false when memory is out, and there
// is no view that denies everything.
static bool
renew(nmq_server_conn *conn)
{
    nmq_client *client = conn->net.client;

    if (client == NULL || !nmq_access_changed(conn)) {
        return true;
    }
    (void) pthread_mutex_lock(&client->lock);
    int rv = nmq_access_know(conn, client->session->client_id, client->user_name);
    (void) pthread_mutex_unlock(&client->lock);
    return rv == NMQ_OK || conn->acl != NULL;
}

// What is answered about the topic, to this packet or to one before; LATER: nothing yet.
static enum nmq_access
answered(nmq_server_conn *conn, uint16_t act, nmq_bytes topic, uint32_t number)
{
    enum nmq_access said = nmq_ask_known(conn, number);

    if ((act & NMQ_ACL_PUBLISH) == 0) {
        return said;
    }
    if (said == NMQ_ACCESS_LATER) {
        said = nmq_kept_get(conn, topic);
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_ACCESS_KEPT,
                         said != NMQ_ACCESS_LATER);
        return said;
    }
    int64_t until_ms = nmq_ask_counts_until(conn);
    if (until_ms != 0) {
        nmq_kept_put(conn, topic, said, until_ms);
    }
    return said;
}

enum nmq_access
nmq_access_decide(nmq_server_conn *conn, uint16_t act, nmq_bytes topic, uint32_t number)
{
    if (!renew(conn)) {
        return NMQ_ACCESS_DENY;
    }
    if (conn->acl == NULL) {
        return NMQ_ACCESS_ALLOW;
    }
    enum nmq_access said = nmq_acl_judge_own(conn->acl, act, topic);
    conn->vouched = said == NMQ_ACCESS_ALLOW;
    if (said == NMQ_ACCESS_PASS) {
        said = nmq_acl_judge(conn->acl, act, topic);
    }
    if (said == NMQ_ACCESS_PASS && nmq_acl_asks(conn->acl)) {
        said = answered(conn, act, topic, number);
    }
    if (said == NMQ_ACCESS_PASS) {
        said = nmq_acl_otherwise(conn->acl) ? NMQ_ACCESS_ALLOW : NMQ_ACCESS_DENY;
    }
    return said;
}

bool
nmq_access_may_keep(nmq_server_conn *conn, uint16_t act, nmq_bytes topic)
{
    return renew(conn) && (conn->acl == NULL || nmq_acl_allows(conn->acl, act, topic));
}

bool
nmq_access_disconnects(const nmq_server_conn *conn)
{
    return conn->acl != NULL && nmq_acl_disconnects(conn->acl);
}
