// listener.h - one place where clients come in: its rules, and who may come.
//
//     acceptor ──> admit: room in all, here, for that address? ──> connection ──> leave
//
// Owner    counted: whoever opened it, and each connection that came through it.
// Threads  thread-safe; the counts of addresses have a lock of their own.
#pragma once
#include <pthread.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/map.h"
#include "base/options.h"
#include "io/stream.h"
#include "net/listener_options.h"
#include "route/bans.h"

// Why a connection is refused, where the log tells of it: each a warning once a minute.
enum nmq_refusal {
    NMQ_REFUSAL_PATH,  // a wrong WebSocket path
    NMQ_REFUSAL_PROXY, // it may not send PROXY headers
    NMQ_REFUSAL_TLS,   // a handshake that failed
    NMQ_REFUSALS,
};

// Who is connected, over all listeners of a broker.
typedef struct {
    const nmq_log *log;
    nmq_counters *counters;
    const nmq_options *options; // NMQ_LIVE
    nmq_bans *bans;
    pthread_mutex_t lock;
    nmq_map addresses;  // lock: address -> how many connections came while it had a bound
    uint32_t open;      // atomic: connections
    uint64_t open_max;  // atomic: the most there were at once
    int64_t starved_ms; // atomic: when nmq_gate_starved warned last
    int64_t refused_ms[NMQ_REFUSALS]; // atomic: when each was a warning last
} nmq_gate;

// What a connection takes from its listener when it comes. Immutable and counted.
typedef struct {
    uint32_t refs;            // atomic
    nmq_bytes url;            // owned; for log lines
    nmq_bytes path;           // owned; of WebSocket upgrades; at NULL: MQTT without them
    nmq_bytes mount;          // owned; at NULL: none
    uint32_t connections_max; // 0: no bound
    bool ask_auth;
    enum nmq_peer_name user_name_from;
    bool unlogged;           // see nmq_listener_options
    bool proxy;              // connections begin with a PROXY header
    nmq_network *proxy_from; // owned; who may send one
    size_t proxy_from_count; // 0: anybody
} nmq_listener_settings;

typedef struct {
    nmq_gate *gate;
    void *arg;     // of whoever takes the streams
    uint32_t refs; // atomic
    uint32_t number;
    uint32_t key;                    // fixed; see nmq_listener_options
    nmq_acceptor *acceptor;          // whose owner stops it
    nmq_listener_settings *settings; // gate's lock; a reference
    uint32_t open;                   // atomic: connections
    uint64_t accepted;               // atomic
    uint64_t refused;                // atomic
} nmq_listener;

void nmq_gate_init(nmq_gate *gate, const nmq_log *log, nmq_counters *counters,
                   const nmq_options *options, nmq_bans *bans);
void nmq_gate_fini(nmq_gate *gate);

// Makes a listener with one reference that does not listen yet. Returns what
// nmq_listener_settings_new does.
int nmq_listener_new(nmq_gate *gate, const nmq_listener_options *options,
                     nmq_listener **out);
nmq_listener *nmq_listener_ref(nmq_listener *listener);
void nmq_listener_unref(nmq_listener *listener); // takes NULL

// Makes settings with one reference. Returns NMQ_OK, NMQ_EINVAL for a proxy_from that
// cannot be read, or NMQ_ENOMEM.
int nmq_listener_settings_new(const nmq_listener_options *options,
                              nmq_listener_settings **out);
void nmq_listener_settings_unref(nmq_listener_settings *settings); // takes NULL

// Returns a reference to the settings in force.
nmq_listener_settings *nmq_listener_now(nmq_listener *listener);

// Puts the settings in force for connections from now on; takes the reference.
void nmq_listener_set(nmq_listener *listener, nmq_listener_settings *settings);

// Counts a connection in. Returns false, and counts that too, when a bound is reached, or
// the listener expects PROXY headers and the peer may not send them. On a listener with
// PROXY headers the address is judged later, by nmq_listener_admit_address. Both refuse an
// address that is banned, and note in the peer whether its address was counted.
bool nmq_listener_admit(nmq_listener *listener, nmq_peer *peer);
bool nmq_listener_admit_address(nmq_listener *listener, nmq_peer *peer);

// Counts out a connection that is gone; or its address alone, when a PROXY header names
// another.
void nmq_listener_leave(nmq_listener *listener, const nmq_peer *peer);
void nmq_listener_leave_address(nmq_listener *listener, const nmq_peer *peer);

// The level to log that refusal at: WARNING, but INFO when one was a warning within the
// last minute, so that a peer that comes again and again does not fill the log.
int nmq_gate_refusal_level(nmq_gate *gate, enum nmq_refusal what);

// Warns that the process is out of descriptors or memory, but not often.
void nmq_gate_starved(nmq_gate *gate);
