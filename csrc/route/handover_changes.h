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
int nmq_handover_change(nmq_sessions *sessions, const nmq_objects *objects,
                        nmq_client *client, const nmq_journal_record *record);

// Puts what is in flight into the session. Where records are missing, what is there under
// its identifier was over: that record is lost. Returns NMQ_OK, NMQ_EMALFORMED or
// NMQ_ENOMEM; then the delivery is still the caller's.
int nmq_handover_put_entry(const nmq_objects *objects, nmq_session *session,
                           const nmq_inflight_entry *entry);

// The session has ended: gives the client back, with all that it holds.
void nmq_handover_end(nmq_sessions *sessions, nmq_client *client);
