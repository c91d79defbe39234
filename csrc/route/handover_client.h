// handover_client.h - the record of a session, as a client has it.
//
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/client.h"
#include "route/handover_objects.h"

// Sets what the record says, but its identifier. Returns NMQ_OK, NMQ_EMALFORMED or
// NMQ_ENOMEM.
int nmq_handover_fill(const nmq_objects *objects, nmq_client *client,
                      const nmq_session_record *record);

// Whether its client was there when the record was written.
bool nmq_handover_is_connected(const nmq_session_record *record);
