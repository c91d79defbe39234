// event.h - what the core tells Python: records on the ring.
//
// Owner    a record owns its text and holds a reference to its message; whoever takes it
//          off the ring gives them back with nmq_event_fini.
#pragma once
#include "nmq.h"
#include "route/router.h"

// Puts a record on the ring; text (may be empty) is copied. A full ring drops and counts.
// Returns whether it was put.
bool nmq_event_put(nmq_router *router, const nmq_event *event, nmq_bytes text);

void nmq_event_fini(nmq_event *event);

// nmq_log.write for a router as arg: a log line becomes a record.
void nmq_event_log(void *router, int level, const char *line);
