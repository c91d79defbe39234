// handover_changes.h - changes of a session that is taken over, in the order in which they
// were: what a journal has logged of it besides its objects.
//
//     DELIVERY ──> queue ──LAUNCHED──> in flight ──RECEIVED──> PUBCOMP awaited ──DONE──>
//     gone
//
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/handover_objects.h"
#include "route/sessions.h"

// Takes a record of a session over. Returns NMQ_OK, NMQ_EMALFORMED for one that does not
// fit what came before, or NMQ_ENOMEM.
// *carried: how many at the front of its queue were carried forward.
int nmq_handover_change(nmq_sessions *sessions, nmq_objects *objects, nmq_client *client,
                        const nmq_journal_record *record, uint32_t *carried);

// The same of a queue of which only the end is known: what leaves it is looked for from
// there. Returns whether it was found.
bool nmq_handover_drop_last(nmq_queue *queue, const nmq_message *message);

// Has the queue hold as many, the last of those that there are, behind such as are told
// again later. Returns NMQ_OK, NMQ_EMALFORMED or NMQ_ENOMEM; then it is as far as it came.
int nmq_handover_fit(nmq_objects *objects, nmq_queue *queue, uint32_t count);

// Puts a delivery, which it takes over, in the place of the first that was not carried; or
// takes that out of the queue, where it is the front, for `entry`. Returns NMQ_OK,
// NMQ_EMALFORMED or NMQ_ENOMEM; then the delivery is still the caller's.
int nmq_handover_carry(const nmq_objects *objects, nmq_session *session, uint32_t *carried,
                       const nmq_inflight_entry *entry);

// Puts what is in flight into the session. Where records are missing, what is there under
// its identifier was over: that record is lost. Returns NMQ_OK, NMQ_EMALFORMED or
// NMQ_ENOMEM; then the delivery is still the caller's.
int nmq_handover_put_entry(const nmq_objects *objects, nmq_session *session,
                           const nmq_inflight_entry *entry);

// The session has ended: gives the client back, with all that it holds.
void nmq_handover_end(nmq_sessions *sessions, nmq_client *client);
