// answer.h - packets that answer a peer's own: they wait for the journal, if it is to have
// what they answer (route/held.h).
//
// Threads  the receive side, inside its batch.
#pragma once
#include "net/conn.h"

// Appends the bytes, unless the connection is to close. waits: if the journal is to have
// what the batch did, they are held until then. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_answer_put(nmq_conn *conn, nmq_batch *batch, nmq_bytes bytes, bool waits);
