// session_tell.h - a session tells its observer what becomes of its messages.
//
// Threads  none of its own: the client's lock.
// Cost     nobody wants to know: a test of one word.
#pragma once
#include "store/session_state.h"

// Has the observer told of its messages; nobody is told of a new session's.
void nmq_session_observe(nmq_session *session, nmq_observer *observer, const void *owner);

// Tells, if that kind is wanted.
void nmq_session_tell(const nmq_session *session, const nmq_session_event *event);

// Counts a message that the client does not get, and tells of it.
void nmq_session_tell_lost(nmq_session *session, const nmq_message *message,
                           enum nmq_event_kind kind, enum nmq_why why);
