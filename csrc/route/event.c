#include "route/event.h"

#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
#include "store/message.h"

// A flood into a tap must not keep clients from logging in, or the log from telling of it.
enum { RING_RECORDS = 8192, KEPT_FROM_TAPS = 1024 };

int
nmq_events_init(nmq_events *events, nmq_counters *counters)
{
    events->counters = counters;
    return nmq_ring_new(sizeof(nmq_event), RING_RECORDS, &events->ring);
}

void
nmq_events_fini(nmq_events *events)
{
    nmq_event event;

    while (events->ring != NULL && nmq_ring_take(events->ring, &event, 1) == 1) {
        nmq_event_fini(&event);
    }
    nmq_ring_free(events->ring);
}

bool
nmq_event_put(nmq_events *events, const nmq_event *event, nmq_bytes text)
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
    if (nmq_ring_put(events->ring, &record, keep_free)) {
        return true;
    }
    nmq_counters_add(events->counters, NMQ_COUNT_EVENTS_DROPPED, 1);
    nmq_event_fini(&record);
    return false;
}

void
nmq_event_fini(nmq_event *event)
{
    if (event->kind == NMQ_EVENT_AUTH && event->text != NULL) {
        explicit_bzero(event->text, event->text_len);
    }
    nmq_free(event->text);
    nmq_message_unref(event->message);
    event->text = NULL;
    event->message = NULL;
}

void
nmq_event_log(void *events, int level, const char *line)
{
    (void) nmq_event_put(events, &(nmq_event){.kind = NMQ_EVENT_LOG, .code = level},
                         nmq_bytes_of(line));
}
