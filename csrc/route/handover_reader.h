// handover_reader.h - takes records over one by one: objects, what sessions hold of them,
// and changes of that.
//
// Owner    its clients are the reader's until they are let in (handover_restore.h).
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/consumer.h"
#include "route/handover_before.h"

// A client of the records.
typedef struct {
    nmq_client *client; // NULL: its session has ended, or is lost
    uint32_t carried;   // deliveries at the front of its queue that were carried forward
    uint32_t taken;     // messages that were handed out
    bool connected;     // as far as the records say
} nmq_reader_client;

// Clients by the number of their session: their place, from 1, and the base.
typedef struct {
    nmq_reader_client *at;
    uint64_t base; // numbers up to it were given before the first record
    uint32_t count;
    uint32_t cap;
} nmq_reader_clients;

// The latest number that was given.
static inline uint64_t
nmq_reader_sessions(const nmq_reader_clients *clients)
{
    return clients->base + clients->count;
}

typedef struct {
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    nmq_objects objects;
    nmq_reader_clients clients;
    nmq_handover_before before;
    uint64_t passed; // records that were passed over, where some are missing
    bool begun;      // its first record was taken
    bool is_part;    // what is retained comes behind a later BEGIN
} nmq_handover_reader;

// Takes the record over. Returns NMQ_OK, NMQ_EMALFORMED for one that does not fit what came
// before, or NMQ_ENOMEM. Where records are missing, one that does not fit is passed over.
int nmq_handover_read(nmq_handover_reader *reader, const nmq_journal_record *record);

// Gives back what the reader holds, but for its clients.
void nmq_handover_reader_fini(nmq_handover_reader *reader);
