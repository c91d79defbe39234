// server_conn.h - a connection of an MQTT client to this broker as its server.
//
// Threads  the receive side, but for what is marked otherwise.
#pragma once
#include "base/live.h"
#include "mqtt/conn_state.h"
#include "net/conns.h"
#include "store/aliases.h"

// The server itself, one for each broker.
typedef struct {
    pthread_mutex_t lock;
    nmq_bytes response_information; // lock; owned; at NULL: none
    int64_t unanswered_log_ms;      // atomic: when it was logged last that nobody answers
} nmq_server;

// What was negotiated in CONNECT and CONNACK, and holds until the connection ends, whatever
// a reload does to nmq_options meanwhile.
typedef struct {
    uint32_t receive_max_bytes; // of a packet from the client; see nmq_trail_allow
    uint16_t receive_maximum;
    uint16_t topic_alias_max;
    uint16_t keep_alive_max_s; // 0: no bound
    uint8_t qos_max;
    bool retain_available;
    bool wildcards_available;
    bool shared_available;
    bool subscription_ids_available;
} nmq_negotiated;

// The mount point of one client.
typedef struct {
    nmq_buf prefix;
    nmq_buf text; // the topic that is mounted just now
} nmq_mount;

typedef struct nmq_exchange nmq_exchange; // exchange.h
typedef struct nmq_ask nmq_ask;           // ask.h
typedef struct nmq_kept nmq_kept;         // kept.h

typedef struct {
    nmq_conn net;               // first: nmq_server_conn_of relies on it
    const nmq_connect *connect; // the CONNECT that is handled; borrowed; NULL: none
    nmq_exchange *exchange;     // NULL: nobody was asked, or has answered for good
    nmq_ask *ask;               // NULL: the packet that is handled is not asked about
    nmq_kept *kept;             // link.lock; NULL: no answer is kept
    nmq_mount *mount;           // NULL: none
    nmq_acl *own;               // rules of the client alone; a reference; NULL: none
    nmq_acl_view *acl;          // NULL: everything is allowed
    uint64_t acl_version;       // of the rules that `acl` is for
    nmq_origin *origin;         // a reference; NULL: nothing retained yet
    nmq_alias_names aliases;    // that the client has set
    nmq_negotiated negotiated;
    uint32_t client_max_bytes; // of a packet to the client: its Maximum Packet Size
    uint32_t users_version;    // when the client said who it is
    uint32_t questions;        // counts those of ask.h; the last is its number
    enum nmq_conn_state state;
    bool problem_info; // Request Problem Information
    bool bridge;       // NMQ_BRIDGE_BIT: it gets nothing back, and RETAIN as published
    bool superuser;    // access rules do not count
    bool vouched;      // own rules allow what is handled just now
    bool send_will;    // at the end
    bool unlogged;     // its session is: its replies wait for nothing
} nmq_server_conn;

static inline nmq_server_conn *
nmq_server_conn_of(nmq_conn *conn)
{
    return (nmq_server_conn *) (void *) conn;
}

static inline nmq_server *
nmq_server_of(const nmq_server_conn *conn)
{
    return conn->net.conns->role_arg;
}

// The user name that CONNECT says, as far as it may be told; at NULL: none. It may be a
// token.
static inline nmq_bytes
nmq_server_conn_said_name(const nmq_server_conn *conn, const nmq_connect *connect)
{
    bool secret = NMQ_LIVE(conn->net.conns->options->user_names_secret);

    return connect->has_user_name && !secret ? connect->user_name : (nmq_bytes) {0};
}

// Sets the state, and with it which packets may come.
static inline void
nmq_server_conn_set_state(nmq_server_conn *conn, enum nmq_conn_state state)
{
    NMQ_STEP(nmq_conn_state_next, conn->state, state);
    conn->state = state;
    conn->net.packet_types = nmq_conn_state_types(state);
}
