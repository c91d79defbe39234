// session_load.h - how much waits in a session, and whether it is at its bound.
//
// Threads  none of its own: the client's lock.
// Cost     constant; nmq_session_make_room: what goes.
#pragma once
#include "store/session_state.h"

// Bytes of the messages that wait or are in flight, each in full.
uint64_t nmq_session_held_bytes(const nmq_session *session);

// Whether the session is at its bound: messages that wait, or bytes held.
bool nmq_session_is_full(const nmq_session *session);

// How much waits, in thousandths of what may wait: at NMQ_LOAD_FULL publishers wait, at
// NMQ_LOAD_LOW they go on.
enum { NMQ_LOAD_FULL = 1000, NMQ_LOAD_LOW = NMQ_LOAD_FULL / 2 };
uint32_t nmq_session_load(const nmq_session *session);

// The oldest messages of the queue go, counted, until there is room. Returns whether there
// is.
bool nmq_session_make_room(nmq_session *session);
