#include "store/session_tell.h"

#include "base/live.h"

void
nmq_session_observe(nmq_session *session, nmq_observer *observer, const void *owner)
{
    session->observer = observer;
    session->owner = owner;
}

void
nmq_session_tell(const nmq_session *session, const nmq_session_event *event)
{
    nmq_observer *observer = session->observer;

    if ((NMQ_LIVE(observer->wanted) >> event->kind & 1) != 0) {
        observer->tell(observer, session->owner, event);
    }
}

void
nmq_session_tell_lost(nmq_session *session, const nmq_message *message,
                      enum nmq_event_kind kind, enum nmq_why why)
{
    const nmq_message_parts parts = nmq_message_parts_of(message);

    session->fresh.expired += kind == NMQ_EVENT_EXPIRED;
    session->fresh.too_large += why == NMQ_WHY_TOO_LARGE;
    session->fresh.no_memory += why == NMQ_WHY_MEMORY;
    nmq_session_tell(session,
                     &(nmq_session_event){.kind = kind, .why = why, .message = &parts});
}
