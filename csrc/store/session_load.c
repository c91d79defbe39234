#include "store/session_load.h"

#include "store/session_log.h"
#include "store/session_tell.h"

// Publishers to a session wait once so much waits in it. The rest of its bound is for a
// client that is so slow, or so stuck, that waiting does not help.
enum {
    QUEUE_SOFT_COUNT = 256, // messages, or all that it may have
    QUEUE_SOFT_PART = 2,    // of its bytes
};

uint64_t
nmq_session_held_bytes(const nmq_session *session)
{
    return session->queue.bytes + session->inflight.bytes;
}

bool
nmq_session_is_full(const nmq_session *session)
{
    return session->queue.count >= session->queue_max ||
           (session->queue_max_bytes != 0 &&
            nmq_session_held_bytes(session) >= session->queue_max_bytes);
}

uint32_t
nmq_session_load(const nmq_session *session)
{
    uint64_t held = nmq_session_held_bytes(session);
    uint64_t max_bytes = session->queue_max_bytes;
    bool few_bytes = max_bytes == 0 || held < max_bytes / QUEUE_SOFT_PART / 2;
    uint64_t load = 0;

    if (session->queue.count == 0 && few_bytes) {
        return 0;
    }
    if (!few_bytes) {
        load = held * NMQ_LOAD_FULL * QUEUE_SOFT_PART / max_bytes;
    }
    uint64_t soft =
        session->queue_max < QUEUE_SOFT_COUNT ? session->queue_max : QUEUE_SOFT_COUNT;
    uint64_t by_count = session->queue.count * (uint64_t) NMQ_LOAD_FULL / soft;
    load = by_count > load ? by_count : load;
    return load < UINT32_MAX ? (uint32_t) load : UINT32_MAX;
}

bool
nmq_session_make_room(nmq_session *s)
{
    nmq_delivery oldest;

    while (nmq_session_is_full(s) && nmq_queue_pop(&s->queue, &oldest)) {
        if (s->owed != NULL) {
            s->owed->popped++;
        }
        nmq_session_tell_lost(s, oldest.message, NMQ_EVENT_DROPPED, NMQ_WHY_QUEUE_FULL);
        s->fresh.full++;
        if (s->log != NULL) {
            nmq_session_log_dropped(s, &oldest);
        }
        nmq_delivery_fini(&oldest);
    }
    return !nmq_session_is_full(s);
}
