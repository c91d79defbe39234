// handover_reader.h - takes records over one by one: objects, what sessions hold of them,
// and changes of that.
//
// Owner    its clients are the reader's until they are let in (handover_restore.h).
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/consumer.h"
#include "route/handover_objects.h"

typedef struct {
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    nmq_objects objects;
    nmq_numbered clients; // nmq_client; NULL: its session has ended
    nmq_buf taken;        // uint32_t of each: messages that were handed out
    bool begun;           // its first record was taken
} nmq_handover_reader;

// Takes the record over. Returns NMQ_OK, NMQ_EMALFORMED for one that does not fit what came
// before, or NMQ_ENOMEM.
int nmq_handover_read(nmq_handover_reader *reader, const nmq_journal_record *record);

// Gives back what the reader holds, but for its clients.
void nmq_handover_reader_fini(nmq_handover_reader *reader);
