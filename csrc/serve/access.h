// access.h - who the client of one connection is, and its access rules, kept in step with
// those in force.
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// The user name of the client: what it says, or what it proved; at NULL: none, as with an
// empty name.
nmq_bytes nmq_access_user_name(const nmq_server_conn *conn, const nmq_connect *connect);

// What proves that name.
uint8_t nmq_access_proof(const nmq_server_conn *conn); // enum nmq_proof

// Whether users were shut out since the client said who it is, and it may be one of them.
// nmq_broker_kick_users looks at clients that are in; this one perhaps was not.
bool nmq_access_users_changed(const nmq_server_conn *conn, uint8_t proof);

// Looks up the rules for that client, before it is in. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_access_know(nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name);
void nmq_access_forget(nmq_server_conn *conn); // frees what nmq_access_know made

// Whether the rules have changed since the client's were looked up last.
static inline bool
nmq_access_changed(const nmq_server_conn *conn)
{
    return nmq_rules_version(conn->net.conns->router->rules) != conn->acl_version;
}

// Whether the client may do that (acl_act.h) with the Topic Name, or the Topic Filter
// without its group, which is that topic of the packet (ask.h). Returns ALLOW, DENY, or
// LATER: it is to be asked about (nmq_ask_add), and known when the packet is handled again.
enum nmq_access nmq_access_decide(nmq_server_conn *conn, uint16_t act, nmq_bytes topic,
                                  uint32_t number);

// Whether everything is allowed to the client, so that there is nothing to decide. Inline:
// asked for each PUBLISH, mostly without rules.
static inline bool
nmq_access_is_free(const nmq_server_conn *conn)
{
    return conn->acl == NULL && !nmq_access_changed(conn);
}

// nmq_access_decide, if there is anything to decide.
static inline enum nmq_access
nmq_access_check(nmq_server_conn *conn, uint16_t act, nmq_bytes topic, uint32_t number)
{
    return nmq_access_is_free(conn) ? NMQ_ACCESS_ALLOW
                                    : nmq_access_decide(conn, act, topic, number);
}

// Whether what was allowed to the client just now may stay, by the rules in force.
bool nmq_access_may_keep(nmq_server_conn *conn, uint16_t act, nmq_bytes topic);

// Whether a client is to be disconnected when it does what it may not do.
bool nmq_access_disconnects(const nmq_server_conn *conn);

// Who publishes, for a retained message of that client. Borrowed from the connection; NULL
// when memory is out.
nmq_origin *nmq_access_origin(nmq_server_conn *conn, nmq_bytes client_id,
                              nmq_bytes user_name);
