// object_record.h - messages, and what a session holds of them, as records of journal.def.
//
// Owner    a record borrows the texts of its object.
// Threads  none of its own.
#pragma once
#include "base/moment.h"
#include "store/inflight.h"
#include "store/journal_record.h"

// Who published messages, under that number.
nmq_journal_record nmq_record_of_origin(const nmq_origin *origin, uint64_t number);

// Makes *out the message under its number, with that of its origin (0: none).
void nmq_record_of_message(nmq_journal_record *out, const nmq_message *message,
                           uint64_t number, uint64_t origin, const nmq_moment *now);

// Makes *out the delivery of a message (0: PUBREC has come) to a session. entry: where it
// is in flight; NULL: it is in the queue. ids: where the Subscription Identifiers lie, of
// which the record borrows.
void nmq_record_of_delivery(nmq_journal_record *out, const nmq_delivery *delivery,
                            uint64_t session, uint64_t message,
                            const nmq_inflight_entry *entry, nmq_bytes ids);

// What is in flight at QoS 2, as if PUBREC had come.
void nmq_record_of_identifier(nmq_journal_record *out, const nmq_inflight_entry *entry,
                              uint64_t session);

// Writes the Subscription Identifiers of the delivery to the buffer, in place of what is
// there. Returns NMQ_OK or NMQ_ENOMEM; the record's `ids` are what is in the buffer then.
int nmq_record_ids(const nmq_delivery *delivery, nmq_buf *out);
