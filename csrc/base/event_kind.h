// event_kind.h - the kinds of what the core tells Python, as csrc/events.def declares them.
#pragma once

enum nmq_note_kind {
    NMQ_NOTE_NONE, // of a zeroed record
#define NOTE(ID, help) NMQ_NOTE_##ID,
#include "events.def"
};

enum nmq_event_kind {
    NMQ_EVENT_NONE,
#define EVENT(ID, name, fields, help) NMQ_EVENT_##ID,
#include "events.def"
};

enum nmq_why {
    NMQ_WHY_NONE,
#define WHY(ID, name, help) NMQ_WHY_##ID,
#include "events.def"
};
