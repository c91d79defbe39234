#include "route/note.h"

#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"

enum { RING_RECORDS = 8192 };

int
nmq_notes_init(nmq_notes *notes, nmq_counters *counters)
{
    notes->counters = counters;
    return nmq_ring_new(sizeof(nmq_note), RING_RECORDS, &notes->ring);
}

void
nmq_notes_fini(nmq_notes *notes)
{
    nmq_note note;

    while (notes->ring != NULL && nmq_ring_take(notes->ring, &note, 1) == 1) {
        nmq_note_fini(&note);
    }
    nmq_ring_free(notes->ring);
}

bool
nmq_note_put(nmq_notes *notes, const nmq_note *note, nmq_bytes text)
{
    nmq_note record = *note;
    nmq_bytes copy = {0};

    if (text.len > 0 && nmq_bytes_copy(text, &copy) != NMQ_OK) {
        return false;
    }
    record.text = (char *) (uintptr_t) copy.at;
    record.text_len = (uint32_t) copy.len;
    if (nmq_ring_put(notes->ring, &record)) {
        return true;
    }
    nmq_counters_add(notes->counters, NMQ_COUNT_EVENTS_DROPPED, 1);
    nmq_note_fini(&record);
    return false;
}

void
nmq_note_fini(nmq_note *note)
{
    if (note->kind == NMQ_NOTE_AUTH && note->text != NULL) {
        explicit_bzero(note->text, note->text_len);
    }
    nmq_free(note->text);
    note->text = NULL;
}

void
nmq_note_log(void *notes, int level, const char *line)
{
    (void) nmq_note_put(notes, &(nmq_note){.kind = NMQ_NOTE_LOG, .code = level},
                        nmq_bytes_of(line));
}
