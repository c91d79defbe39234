// event.h - what the core tells Python: records on the ring.
//
// Owner    whoever takes a record off the ring gives back what it owns with nmq_event_fini.
#pragma once
#include "base/bytes.h"
#include "base/counters.h"
#include "base/event_kind.h"
#include "base/ring.h"
#include "route/event_record.h"

typedef struct {
    nmq_ring *ring;
    nmq_counters *counters;
} nmq_events;

// Makes the ring. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EIO. nmq_events_fini may be called in
// any case, for a zeroed one too.
int nmq_events_init(nmq_events *events, nmq_counters *counters);
void nmq_events_fini(nmq_events *events);

// Puts a record on the ring; text (may be empty) is copied. A full ring drops and counts.
// Returns whether it was put.
bool nmq_event_put(nmq_events *events, const nmq_event *event, nmq_bytes text);

// Gives back what the record owns. Passwords (NMQ_EVENT_AUTH) do not stay in the memory.
void nmq_event_fini(nmq_event *event);

// nmq_log.write for events as arg: a log line becomes a record.
void nmq_event_log(void *events, int level, const char *line);
