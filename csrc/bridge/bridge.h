// bridge.h - one bridge and its connection: their structs, and what is told of them.
//
//     idle ──dial──> dialling ──stream──> asked ──CONNACK──> up
//       ^                │                  │                 │
//       └────────────────┴───── told: down ─┴─────────────────┘
//
// Owner    a bridge is counted: its list, a dial and a connection hold references.
// Threads  each field names its lock. Locks: turn, a client's `moving`, a client's, a
//          link's; `lock` is a leaf.
#pragma once
#include "bridge/settings.h"
#include "io/dialer.h"
#include "mqtt/client_state.h"
#include "net/conns.h"
#include "route/consumer.h"

struct nmq_bridges {
    nmq_consumers *consumers;
    uint8_t *memory;      // NMQ_LIVE: enum nmq_memory_level
    pthread_mutex_t turn; // one call at a time that changes something
    pthread_mutex_t lock;
    struct nmq_bridge *first; // turn and lock
    nmq_conns *conns;         // turn; NULL: there was no bridge yet
    int fd;                   // atomic; -1: the same
    bool stopped;             // turn: nothing is dialled any more
};

typedef struct nmq_bridge {
    struct nmq_bridge *next; // turn and lock
    nmq_bridges *bridges;
    uint32_t refs;                 // atomic
    nmq_client *client;            // fixed; a reference
    nmq_bridge_settings *settings; // turn and lock; atomic; a reference
    nmq_dial *dial;                // turn; NULL: none was made yet
    uint32_t timeout_ms;           // atomic: of CONNACK
    uint8_t qos_max;               // client->moving: what forwards are subscribed with
    bool watches;                  // turn: it asks for the time of messages
    nmq_conn *conn;                // lock; a reference; NULL: not connected
    nmq_bridge_news news;          // lock
    bool has_news;                 // lock
    uint64_t acked;                // atomic
    uint64_t received;             // atomic
    uint64_t refused;              // atomic
} nmq_bridge;

// A connection to the other broker.
typedef struct {
    nmq_conn net;                  // first
    nmq_bridge *bridge;            // fixed; a reference
    nmq_bridge_settings *settings; // receive side; a reference
    nmq_origin *origin;            // receive side; a reference; NULL: nothing needed it yet
    nmq_buf topic;                 // receive side: of a message, as it is here
    nmq_buf props;                 // receive side: likewise
    uint8_t peer[NMQ_TRAIL_ID_BYTES]; // receive side: who the other broker is
    size_t peer_len;                  // receive side; 0: it does not say that
    nmq_timer ping;                   // clock
    int64_t ping_ms;                  // atomic: between two PINGREQ; 0: none
    enum nmq_client_state state;      // receive side
    uint8_t cause;                    // atomic: enum nmq_bridge_cause of its end
    char said[200]; // receive side: why the other broker ends it; ends with NUL
} nmq_bridge_conn;

static inline nmq_bridge_conn *
nmq_bridge_conn_of(nmq_conn *conn)
{
    return (nmq_bridge_conn *) (void *) conn;
}

nmq_bridge *nmq_bridge_ref(nmq_bridge *bridge);
void nmq_bridge_unref(nmq_bridge *bridge); // takes NULL

// The settings in force, with a reference.
nmq_bridge_settings *nmq_bridge_now(nmq_bridge *bridge);

// --- what is told; each takes the lock. why NULL: nothing is said

void nmq_bridge_tell_state(nmq_bridge *bridge, enum nmq_bridge_state state);
void nmq_bridge_tell_up(nmq_bridge *bridge, bool session_present);
void nmq_bridge_tell_fault(nmq_bridge *bridge, enum nmq_bridge_cause cause, int32_t code,
                           const char *why); // it is up all the same

// A dial, or a connection, has ended. Returns whether the bridge had been up.
bool nmq_bridge_tell_down(nmq_bridge *bridge, enum nmq_bridge_cause cause, int32_t code,
                          const char *why);
