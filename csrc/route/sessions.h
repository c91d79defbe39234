// sessions.h - sessions are away, end, and come from another process; attach.h: they begin.
//
//     attach ──> connected ──detach──> away ──expiry──> ended
//                    ^                   │
//                    └──────attach───────┘      will: at detach, or after its delay
//
// Threads  thread-safe; call without a lane, a client's or a link's lock.
#pragma once
#include "base/clock.h"
#include "route/registry.h"
#include "route/router.h"

typedef struct {
    nmq_registry registry;
    nmq_router *router;
    nmq_clock *clock;
    bool stopping; // atomic: the broker stops, and what takes long is left
} nmq_sessions;

// Whether the broker stops.
static inline bool
nmq_sessions_stop(const nmq_sessions *sessions)
{
    return __atomic_load_n(&sessions->stopping, __ATOMIC_RELAXED);
}

// The connection is over. Does nothing if another has taken over. send_will is false only
// after a DISCONNECT that asked for it [MQTT-3.14.4-3].
void nmq_sessions_detach(nmq_sessions *sessions, nmq_client *client, const nmq_link *link,
                         bool send_will);

// Adds a client that is away, with its session, will and times; takes the reference. Its
// will and its end wait for nmq_sessions_start_timer. Returns NMQ_OK, or NMQ_ENOMEM or
// NMQ_EINVAL with the client still the caller's.
int nmq_sessions_restore(nmq_sessions *sessions, nmq_client *client);

// From now on a client that was restored may end.
void nmq_sessions_start_timer(nmq_sessions *sessions, nmq_client *client);

// The options have changed: every session follows them.
void nmq_sessions_use_options(nmq_sessions *sessions);

// Has one client's session follow them. Call with the client's lock.
void nmq_sessions_give_options(const nmq_options *options, nmq_session *session);

// The client's timer and what is told of it are the sessions' from now on.
void nmq_sessions_adopt(nmq_sessions *sessions, nmq_client *client);

// Takes the client, whose session ends, out of the registry. Call with its lock.
// reason: a word for whoever listens; "normal": its connection was the end of it
void nmq_sessions_remove(nmq_sessions *sessions, nmq_client *client, const char *reason);

// Ends a client that was taken out of the registry, or never was in it (a tap): its
// subscriptions and the caller's reference, or the registry's.
void nmq_sessions_end(nmq_sessions *sessions, nmq_client *client);
