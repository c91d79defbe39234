#include "route/event.h"

#include "base/mem.h"
#include "base/status.h"

// A flood into a tap must not keep clients from logging in, or the log from telling of it.
enum { KEPT_FROM_TAPS = 1024 };

bool
nmq_event_put(nmq_router *router, const nmq_event *event, nmq_bytes text)
{
    nmq_event record = *event;
    nmq_bytes copy = {0};

    if (text.len > 0 && nmq_bytes_copy(text, &copy) != NMQ_OK) {
        return false;
    }
    record.text = (char *) (uintptr_t) copy.at;
    record.text_len = (uint32_t) copy.len;
    if (record.message != NULL) {
        (void) nmq_message_ref(record.message);
    }
    size_t keep_free = record.kind == NMQ_EVENT_MESSAGE ? KEPT_FROM_TAPS : 0;
    if (nmq_ring_put(router->events, &record, keep_free)) {
        return true;
    }
    nmq_counters_add(&router->counters, NMQ_COUNT_EVENTS_DROPPED, 1);
    nmq_event_fini(&record);
    return false;
}

void
nmq_event_fini(nmq_event *event)
{
    nmq_free(event->text);
    nmq_message_unref(event->message);
    event->text = NULL;
    event->message = NULL;
}

void
nmq_event_log(void *router, int level, const char *line)
{
    (void) nmq_event_put(router, &(nmq_event){.kind = NMQ_EVENT_LOG, .code = level},
                         nmq_bytes_of(line));
}
