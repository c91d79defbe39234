// handover_objects.h - what sessions share while they are taken over: when the records were
// written, who published, and messages.
//
// Owner    the objects that are known: see handover_known.h.
// Threads  none meanwhile: no connection is open.
#pragma once
#include "base/moment.h"
#include "route/handover_known.h"
#include "store/groups.h"
#include "store/queue.h"

typedef struct {
    bool keeps_numbers; // objects have their numbers from here on, for the same journal
    bool lenient;       // records are missing: what they would have made is not there
    nmq_moment written; // when the records were
    nmq_moment now;
    int64_t over_ms;    // when the last record was written, of the wall clock
    nmq_known origins;  // nmq_origin
    nmq_known messages; // nmq_message
    // Numbers up to these were given before the first record: what has one of them is not
    // here, and is told again later.
    uint64_t messages_before;
    uint64_t origins_before;
    nmq_origin *nowhere; // in the place of such an origin, or one that is lost; or NULL
    nmq_message *hole;   // in the place of such a message; NULL: there was none
    nmq_handover_uses uses;
} nmq_objects;

// Nothing is known yet. over_ms: see above; 0: now.
void nmq_objects_init(nmq_objects *objects, int64_t over_ms);

// The records that follow were made safe at that time of the wall clock. If it was set
// since BEGIN, the monotonic clock does not tell when they were written.
void nmq_objects_pass_to(nmq_objects *objects, int64_t wall_ms);

// Each takes a record over. BEGIN may come again: for who begins to read there.
// Returns NMQ_OK, NMQ_EMALFORMED or NMQ_ENOMEM.
int nmq_handover_take_begin(nmq_objects *objects, const nmq_begin_record *begin);
int nmq_handover_take_origin(nmq_objects *objects, const nmq_origin_record *record);
int nmq_handover_take_message(nmq_objects *objects, const nmq_message_record *record);

// The message of that number, without a reference: NULL for one that cannot be there. *rv
// is set where it is NMQ_ENOMEM.
nmq_message *nmq_objects_message(nmq_objects *objects, uint64_t number, int *rv);

// The fields of CARRIED as those of DELIVERY, which they are.
static inline nmq_delivery_record
nmq_journal_delivery_of(const nmq_carried_record *record)
{
    return (nmq_delivery_record) {.session = record->session,
                                  .message = record->message,
                                  .order = record->order,
                                  .packet_id = record->packet_id,
                                  .qos = record->qos,
                                  .state = record->state,
                                  .retain = record->retain,
                                  .group = record->group,
                                  .subscription_ids = record->subscription_ids};
}

// Makes *out the delivery of the record; message NULL: it has none. Returns NMQ_OK,
// NMQ_EMALFORMED or NMQ_ENOMEM.
int nmq_objects_delivery(nmq_objects *objects, const nmq_delivery_record *record,
                         nmq_delivery *out);

// Whether it stands for one that is not there.
static inline bool
nmq_objects_is_hole(const nmq_objects *objects, const nmq_message *message)
{
    return message != NULL && message == objects->hole;
}

// The record was taken, or passed over: what it names has one use less.
void nmq_objects_named(nmq_objects *objects, const nmq_journal_record *record);

// Whether a time of a record can be one, and the deadline here that it stands for.
bool nmq_handover_is_time(int64_t at_ms);
int64_t nmq_handover_due(const nmq_objects *objects, int64_t at_ms);

// Returns whether that is an address, or none.
bool nmq_handover_peer(nmq_bytes address, uint16_t port, nmq_peer *out);

void nmq_objects_fini(nmq_objects *objects); // gives back what the lists hold
