// conn.h - one Network Connection: its struct, and what all that works on it needs.
//
//     accept ──> read, handle ──> end: the rest is sent ──> closed ──> freed
//
//     in   [ MQTT, not handled yet | raw: a PROXY header, an upgrade, frames ]
//                                 ^ plain
//
//     receive side   one thread at a time: the receive callback, or whoever goes on with a
//                    connection that was parked (park.h)
//     send side      one thread at a time: whoever started it (send.h); the outbox fills
//                    behind its back
//
// Owner    counted through its link. The receive side holds one reference from accept until
//          nmq_recv_end; a send that is under way holds another.
// Threads  each field names its side or its lock.
#pragma once
#include <assert.h>

#include "base/map.h"
#include "io/poller.h"
#include "io/ws.h"
#include "net/listener.h"
#include "net/role.h"
#include "net/states.h"
#include "route/sessions.h"

// What all connections of one broker share.
typedef struct {
    const nmq_role *role;
    void *role_arg; // of the role
    nmq_router *router;
    nmq_sessions *sessions;
    uint8_t *memory; // NMQ_LIVE, set by nmq_memory_look: enum nmq_memory_level
    const nmq_log *log;
    nmq_counters *counters;
    nmq_clock *clock;
    const nmq_options *options; // NMQ_LIVE
    nmq_gate gate;
    int64_t cut_ms;            // atomic: when one to cut was looked for last
    int64_t resident_ms;       // atomic: when the system was asked last
    uint8_t resident_level;    // atomic: the level by what it said
    int64_t short_log_ms;      // atomic: when it was logged last that memory is short
    nmq_timer short_timer;     // clock: looks while memory is short, or somebody waits
    struct nmq_conn *short_of; // lock: connections that wait for memory
    pthread_mutex_t lock;
    pthread_cond_t freed;
    nmq_map by_number;    // lock: those whose receive side is not over
    uint64_t unfreed;     // lock: all that have memory; gate.open: those that are not over
    uint32_t lingering;   // atomic: of the unfreed, those that linger: linger.h
    uint64_t next_number; // lock
    bool closing;         // atomic, written with lock: no more are taken
} nmq_conns;

// A connection over WebSocket: its frames, and what it sends besides packets.
typedef struct {
    nmq_ws ws;        // receive side; its reply: link.lock
    nmq_buf prefix;   // send side: goes out before the load
    size_t prefix_at; // send side: bytes of it that are sent
    bool close_put;   // send side: nothing goes after it
} nmq_conn_ws;

typedef struct nmq_rate nmq_rate; // rate.h

struct nmq_conn {
    nmq_link link; // first: a link is a connection
    nmq_conns *conns;
    nmq_listener *listener;          // a reference; NULL: it was dialled
    nmq_listener_settings *settings; // receive side; a reference; NULL: it was dialled
    nmq_stream *stream;
    uint64_t number;        // fixed
    nmq_buf in;             // receive side: bytes not handled yet
    size_t plain;           // receive side: so many bytes of `in` are MQTT; raw ones follow
    size_t drops_left;      // receive side: bytes to drop while it lingers, at most
    nmq_conn_ws *ws;        // fixed; NULL: MQTT without WebSocket
    nmq_rate *rate;         // receive side; NULL: as fast as it likes
    uint8_t own_rates;      // atomic: enum nmq_own_rate; 0: the options' rates count
    uint32_t message_rate;  // atomic: its own; 0: no bound
    uint32_t byte_rate;     // atomic: its own; 0: no bound
    uint32_t held_in;       // atomic: bytes of `in`; in NMQ_COUNT_BUFFER_BYTES
    size_t held_out;        // link.lock: the same of what waits for a slow peer
    uint32_t in_cap_next;   // receive side: how large the next buffer shall be
    uint32_t uncounted;     // receive side: bytes that came, not counted to the client yet
    nmq_client *client;     // set by the receive side with link.lock; a reference
    nmq_outbox sending;     // send side
    nmq_job job;            // goes on with what `job_does` says, and holds a reference
    uint8_t job_does;       // link.lock: enum nmq_job_kind; 0: it is not posted
    uint8_t recv;           // atomic: enum nmq_recv_state; states.h
    uint8_t parked_for;     // atomic, written with link.lock: enum nmq_park_reason
    uint8_t send;           // link.lock: enum nmq_send_state
    uint8_t intake;         // receive side: enum nmq_intake_state
    bool lingers;           // link.lock: it is to linger when it ends; see linger.h
    bool acked;             // receive side: this batch acknowledged something
    bool has_packets;       // receive side: packets that have come wait in `in`
    bool asked;             // receive side: its role has asked, NMQ_NEXT_ASK
    uint8_t version;        // atomic; 0: not known yet
    uint16_t packet_types;  // receive side: a bit for each that may come now, by the role
    uint32_t quiet_reads;   // receive side: reads in a row that used little
    int64_t over_ms;        // link.lock: once it ends, when it is closed at the latest
    nmq_fault end;          // link.lock: the first reason; zeroed: the peer left
    int64_t idle_ms;        // atomic: longest silence, 0: any
    int64_t ends_ms;        // atomic: when its role is told that its time is over, 0: never
    int64_t last_packet_ms; // atomic: when a packet, or more of one, came last
    uint64_t retry_acks;    // clock: in-flight head at the last retry
    int64_t retry_due_ms;   // clock: the next one
    nmq_timer timer;        // clock
    int64_t park_due_ms;  // link.lock: when the clock looks at what it waits for; 0: never
    int64_t short_ms;     // receive side: since when it waits for memory; 0: it does not
    nmq_conn *next_short; // conns.lock: the next one that waits for memory
};

// A step that the tables of states.h do not have is our own mistake. Builds for tests check
// each.
#if defined NMQ_MEM_COUNT || defined NMQ_CHECK_STEPS
#define NMQ_STEP(next, from, to) assert((next(from) >> (to) & 1) != 0)
#else
#define NMQ_STEP(next, from, to) ((void) 0)
#endif

static inline enum nmq_recv_state
nmq_conn_recv(const nmq_conn *conn)
{
    return (enum nmq_recv_state) __atomic_load_n(&conn->recv, __ATOMIC_ACQUIRE);
}

static inline void
nmq_conn_set_recv(nmq_conn *conn, enum nmq_recv_state to)
{
    NMQ_STEP(nmq_recv_next, nmq_conn_recv(conn), to);
    __atomic_store_n(&conn->recv, (uint8_t) to, __ATOMIC_RELEASE);
}

static inline void
nmq_conn_set_send(nmq_conn *conn, enum nmq_send_state to)
{
    NMQ_STEP(nmq_send_next, (enum nmq_send_state) conn->send, to);
    conn->send = (uint8_t) to;
}

static inline void
nmq_conn_set_intake(nmq_conn *conn, enum nmq_intake_state to)
{
    NMQ_STEP(nmq_intake_next, (enum nmq_intake_state) conn->intake, to);
    conn->intake = (uint8_t) to;
}

enum {
    NMQ_CONN_IN_MIN = 256, // bytes of buffer that an idle connection holds
    NMQ_CONN_SMALL = 128,  // a packet of so many bytes is within every bound
};

nmq_conn *nmq_conn_of(nmq_link *link);
nmq_bytes nmq_conn_key(const nmq_conn *conn);      // under which by_number holds it
nmq_peer_text nmq_conn_name(const nmq_conn *conn); // its peer, for log lines
uint8_t nmq_conn_version(const nmq_conn *conn);    // 0: not known yet; thread-safe

// Whether nobody knows yet who its peer is, and it gets as little as will do. Whom we
// dialled we know. Receive side.
static inline bool
nmq_conn_is_stranger(const nmq_conn *conn)
{
    return conn->client == NULL && !conn->conns->role->dials;
}

// Arms (or moves) and cancels one of the connection's timers. Both keep the timer's
// reference in step.
void nmq_conn_arm(nmq_conn *conn, nmq_timer *timer, int64_t due_ms);
void nmq_conn_cancel(nmq_conn *conn, nmq_timer *timer);

// Keeps why the connection will end, for the log; the first reason counts. Call
// nmq_conn_note_end with link.lock, nmq_conn_set_end without.
void nmq_conn_note_end(nmq_conn *conn, nmq_fault why);
void nmq_conn_set_end(nmq_conn *conn, nmq_fault why);

// The peer's silence was the broker's doing: it does not count against the keep alive.
void nmq_conn_forgive_silence(nmq_conn *conn);

// Whether the connection is to close, or closes already. Takes the lock.
bool nmq_conn_is_closing(nmq_conn *conn);

// Notes that the connection is to close. Returns whether nobody has said so yet. Call with
// link.lock.
bool nmq_conn_begin_close(nmq_conn *conn);

// Its client is let in; takes the reference. Receive side.
void nmq_conn_set_client(nmq_conn *conn, nmq_client *client);
