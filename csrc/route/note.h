// note.h - what the core tells Python: records on the ring.
//
// Owner    whoever takes a record off the ring gives back what it owns with nmq_note_fini.
#pragma once
#include "base/bytes.h"
#include "base/counters.h"
#include "base/event_kind.h"
#include "base/ring.h"
#include "route/note_record.h"

typedef struct {
    nmq_ring *ring;
    nmq_counters *counters;
} nmq_notes;

// Makes the ring. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EIO; nmq_notes_fini is right in any
// case, of a zeroed one too.
int nmq_notes_init(nmq_notes *notes, nmq_counters *counters);
void nmq_notes_fini(nmq_notes *notes);

// Puts a record on the ring; text (may be empty) is copied. A full ring drops and counts.
// Returns whether it was put.
bool nmq_note_put(nmq_notes *notes, const nmq_note *note, nmq_bytes text);

// Gives back what the record owns. Passwords (NMQ_NOTE_AUTH) do not stay in the memory.
void nmq_note_fini(nmq_note *note);

// nmq_log.write for notes as arg: a log line becomes a record.
void nmq_note_log(void *notes, int level, const char *line);
