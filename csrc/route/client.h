// client.h - one client as the router knows it: its session, its link, its will.
//
// Owner    counted. The registry holds a reference, and each connection one.
// Threads  each field names its lock. A client is reached from the tree without a reference
//          while a lane is held: it leaves the tree before its last reference goes.
#pragma once
#include <pthread.h>

#include "base/counters.h"
#include "base/live.h"
#include "base/peer.h"
#include "base/wheel.h"
#include "route/acl_rules.h"
#include "route/feed.h"
#include "route/link.h"
#include "route/who.h"
#include "store/session.h"

// What proves a client's user name.
enum nmq_proof {
    NMQ_PROOF_USERS, // the broker's users
    NMQ_PROOF_CERTIFICATE,
    NMQ_PROOF_METHOD, // an Authentication Method with users of its own
    NMQ_PROOF_WORD,   // nothing: nobody asked the client for a proof
};

// The will of a client; will.h says what becomes of it. A zeroed one is no will.
typedef struct {
    nmq_message *message; // a reference; NULL: none
    uint32_t delay_s;     // Will Delay Interval
    uint32_t expiry_s;    // Message Expiry Interval, which begins at the publication
    bool expires;         // it has one
} nmq_will;

// What one client sent and got. The messages that it got or lost are guarded by its lock;
// the others are atomic.
typedef struct {
    uint64_t bytes_in;
    uint64_t bytes_out; // that were given to its connection
    uint64_t packets_in;
    uint64_t packets_out;     // likewise
    uint64_t messages_in[3];  // PUBLISH packets from the client, by QoS
    uint64_t messages_out[3]; // PUBLISH packets delivered to the client, by QoS
    uint64_t dropped;         // messages that it did not get
    uint64_t dropped_full;    // of them: no room in its queue, or it was stuck
    uint64_t dropped_expired;
    uint64_t dropped_too_large;
} nmq_client_traffic;

// Counts of all clients of one registry, which holds them.
typedef struct {
    uint64_t connected;       // atomic: clients with a link
    uint64_t subscribers;     // atomic: those of them that have a subscription
    uint64_t will_bytes;      // atomic: of the messages of their wills
    uint64_t connected_max;   // atomic: the most of them there were at once
    uint64_t subscribers_max; // likewise
} nmq_client_counts;

typedef struct nmq_client {
    uint64_t number;           // fixed: unique in this process
    nmq_client_counts *counts; // fixed: where it is counted
    nmq_feed *feed;            // fixed; of a tap, which has no link; NULL: it is none
    uint32_t refs;             // atomic
    bool clean_start;          // lock
    bool superuser;            // lock: access rules do not count
    nmq_acl *own;              // lock: rules of it alone; a reference; NULL: none
    bool consumes;             // fixed: Python takes what it keeps; consumer.h
    bool bridges;              // fixed: it is kept for another broker; bridge/bridges.h
    bool ended;                // all lanes: no longer in the tree
    bool subscribed;           // all lanes and lock: it has a subscription
    pthread_mutex_t moving;    // before `lock`: held to move or judge the whole session
    pthread_mutex_t lock;
    nmq_session *session;  // lock; its list of subscriptions: all lanes
    nmq_link *link;        // lock; NULL while the client is away; a reference
    nmq_bytes user_name;   // fixed at attach: the session is this user's; owned
    nmq_peer peer;         // lock
    uint32_t listener;     // lock: number of the one it came through; 0: it was restored
    uint32_t listener_key; // lock: which of the configuration that is; 0: none
    uint32_t judged;       // lock: version of the rules by which its session was judged
    uint32_t expiry_interval_s; // lock; 0xffffffff: never
    nmq_will will;              // lock; changed by nmq_client_set_will alone
    uint32_t full_log_s;   // lock: when it was logged last that its queue is full; 0: never
    uint32_t group_count;  // all lanes: of its subscriptions, the shared ones
    uint32_t place;        // registry lock: among all clients
    uint16_t keep_alive_s; // lock
    uint8_t proof;         // lock; enum nmq_proof
    uint8_t version;       // lock
    uint8_t end_code;      // lock: Reason Code with which its last connection ended
    uint8_t end_why;       // lock: enum nmq_why; NONE: none has ended, or it is not known
    int64_t will_due_ms;   // lock; 0: not waiting
    int64_t expiry_due_ms; // lock; 0: not waiting
    int64_t created_at_ms; // fixed at attach; wall clock
    int64_t connected_at_ms;    // lock; wall clock
    int64_t disconnected_at_ms; // lock; wall clock
    nmq_client_traffic traffic; // of all its connections
    nmq_timer timer;            // clock: will delay and session expiry
    bool is_moving;             // atomic: by remount.h; no bound on subscriptions
    bool forgotten;             // lock: it is owed nothing any more
    bool counted_connected;     // lock: in counts
    bool counted_subscriber;    // lock: in counts
} nmq_client;

// Returns a client with one reference, or NULL when memory is out.
nmq_client *nmq_client_new(nmq_client_counts *counts, nmq_bytes client_id);
nmq_client *nmq_client_ref(nmq_client *client);
void nmq_client_unref(nmq_client *client); // takes NULL

// Whether it is one of ours, which the registry does not have: no client is taken for it.
static inline bool
nmq_client_is_own(const nmq_client *client)
{
    return client->consumes || client->bridges;
}

// What people call it.
static inline const char *
nmq_client_kind(const nmq_client *client)
{
    return client->consumes ? "consumer" : client->bridges ? "bridge" : "client";
}

// Borrowed from the client. Call with its lock.
nmq_who nmq_client_who(const nmq_client *client);

// Gives it another will, whose reference it takes, and returns the one before, with its
// reference. A zeroed one is none. Call with the client's lock.
nmq_will nmq_client_set_will(nmq_client *client, nmq_will will);

// Brings the counts of connected clients and of subscribers up to date. Call with
// the client's lock, after its link has changed.
void nmq_client_count(nmq_client *client);

// The same, after its subscriptions have changed. Call with all lanes, without the
// client's lock.
void nmq_client_count_subscriptions(nmq_client *client);

// The messages of three QoS, each of which another thread may raise.
static inline uint64_t
nmq_client_sum(const uint64_t messages[3])
{
    return NMQ_LIVE(messages[0]) + NMQ_LIVE(messages[1]) + NMQ_LIVE(messages[2]);
}

// Counts what came from the client: bytes, packets, and of these the PUBLISH packets by
// QoS. Thread-safe.
void nmq_client_count_in(nmq_client *client, uint32_t bytes, uint64_t packets,
                         const uint32_t messages[3]);

// Counts what was given to its connection. Thread-safe.
void nmq_client_count_out(nmq_client *client, size_t bytes, uint32_t packets);

// Whether the session has counted anything since it was taken last. Call with the client's
// lock.
static inline bool
nmq_client_has_fresh(const nmq_client *client)
{
    const nmq_session_counts *c = &client->session->fresh;

    return (c->messages[0] | c->messages[1] | c->messages[2] | c->pubrel | c->expired |
            c->too_large | c->no_memory | c->full) != 0;
}

// Takes it, and counts it to the client. Call with the client's lock, after whatever may
// have sent.
void nmq_client_take_fresh(nmq_client *client, nmq_session_counts *out);

// The same, for the broker's counters at once.
void nmq_client_count_fresh(nmq_client *client, nmq_counters *counters);
