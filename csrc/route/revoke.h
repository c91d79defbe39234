// revoke.h - rights that were taken away end at once, for everybody.
//
//     rules change ──> each session is judged (rights.h)
//     users change ──> connections of users that were shut out end
//     bans change  ──> connections of clients that are banned end
//
// Threads  thread-safe; call without a lane or lock.
// Cost     all clients, one after the other; no lock is held for more than one.
#pragma once
#include "route/kick.h"
#include "route/sessions.h"

// Judges every session by the rules in force. Returns how many subscriptions ended, or
// NMQ_ENOMEM with the rest left for their next connections.
int nmq_revoke_rights(nmq_sessions *sessions);

// Disconnects clients whose user may not come in any more; see nmq_broker_kick_users.
// Returns how many, or NMQ_ENOMEM with nobody disconnected.
int nmq_revoke_users(nmq_sessions *sessions, const nmq_kick *whom);

// Disconnects who is banned: that client, or all where client_id is at NULL; see
// nmq_broker_kick_banned. Returns how many, or NMQ_ENOMEM.
int nmq_revoke_banned(nmq_sessions *sessions, nmq_bytes client_id);

// Ends the session of that client, here or away: its subscriptions, what waits for it, and
// its connection, with that Reason Code. Its will is sent [MQTT-3.1.2-8]. Returns NMQ_OK,
// or NMQ_ENOENT for no such client.
int nmq_revoke_session(nmq_sessions *sessions, nmq_bytes client_id, uint8_t reason_code);

// Disconnects that client. Returns NMQ_OK, or NMQ_ENOENT when it is not connected.
int nmq_revoke_connection(nmq_sessions *sessions, nmq_bytes client_id, uint8_t reason_code);
