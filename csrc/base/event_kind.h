// event_kind.h - the kinds of records on the ring (base/ring.h), as csrc/events.def
// declares them.
#pragma once

enum nmq_event_kind {
    NMQ_EVENT_NONE, // of a zeroed record
#define EVENT(id, help) NMQ_EVENT_##id,
#include "events.def"
};
