// arrival.h - a message that has come over a connection, before it is routed: which of its
// properties travel, and what it meets when memory or the room on the disk is short.
//
//     meet_memory ──> nmq_fanout_publish ──> was_refused
//
// Threads  the thread of the batch.
#pragma once
#include "mqtt/props.h"
#include "route/batch.h"
#include "store/message.h"

// The properties that travel with a message: all but those that belong to one hop. They are
// borrowed where the block can be used as it is, else copied to *scratch, which the caller
// frees. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_arrival_properties(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out);

// When a message with these properties expires; 0: never.
int64_t nmq_arrival_expires_at(const nmq_props *props, int64_t now_ms);

// Whether the message may be logged, if it has to be: as nmq_journal_may, or NMQ_ESHORT:
// not before some of what is staged is written.
int nmq_arrival_may_log(const nmq_batch *batch, nmq_bytes topic_name, size_t payload_len);

// Sets how the message is to be routed as memory and the journal are now. answers: its
// publisher can be told that it was refused; else it is made to wait. A message at QoS 2
// that is refused, or one that comes again after the wait, must have gone to nobody.
void nmq_arrival_meet_memory(nmq_batch *batch, const nmq_message_parts *parts,
                             uint8_t memory, bool answers);

// Undoes that once the message is routed. Returns whether it was refused; *why is NMQ_OK
// for memory, or what nmq_arrival_may_log said.
bool nmq_arrival_was_refused(nmq_batch *batch, int *why);
