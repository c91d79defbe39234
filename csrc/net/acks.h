// acks.h - acknowledgements that come from a peer: of what its session has sent, and the
// end of QoS 2 for what it sent itself.
//
// Threads  the receive side, inside its batch.
#pragma once
#include "net/conn.h"

// Handles PUBACK, PUBREC or PUBCOMP; one that is not expected is counted. Returns as
// nmq_session_acked.
int nmq_acks_take(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet);

// PUBREL has come: the batch's answers wait for that. Returns whether its identifier was in
// use.
bool nmq_acks_release(nmq_conn *conn, nmq_batch *batch, uint16_t packet_id);
