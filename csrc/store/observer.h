// observer.h - who is told what becomes of the messages of a session, if somebody wants to
// know.
//
// Owner    it outlives the sessions that it observes.
// Threads  told with the lock of the session, and must not call back.
// Cost     nobody wants to know: a test of one word.
#pragma once
#include "base/event_kind.h"
#include "store/message.h"

// Of a session: NMQ_EVENT_DELIVERED, ACKED, DROPPED or EXPIRED.
typedef struct {
    enum nmq_event_kind kind;
    enum nmq_why why;
    const nmq_message_parts *message;
    uint32_t numbers[3]; // as events.def has them
} nmq_session_event;

typedef struct nmq_observer {
    uint32_t wanted; // NMQ_LIVE: a bit for each kind
    void (*tell)(struct nmq_observer *observer, const void *owner,
                 const nmq_session_event *event);
} nmq_observer;
