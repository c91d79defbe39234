// shortage.h - whether a message can be taken while memory is short (memory_level.h), or
// the journal takes nothing (nmq_journal_may): it goes to all that it is for, or is
// refused.
//
// Threads  thread-safe; call inside a lane, without a client's or a link's lock.
// Cost     the subscriptions that match.
#pragma once
#include "route/deliver.h"

// Whether routing the message would append to the journal something that is to be durable:
// a session that is kept takes it, or it is retained. may_log: of nmq_batch: taking a
// retained message away appends next to nothing, so it counts only where it is never
// durable.
bool nmq_shortage_is_logged(int may_log, const nmq_client *from,
                            const nmq_message_parts *parts, const nmq_matches *matches);

// The short_window of nmq_offer at that level of memory.
uint16_t nmq_shortage_window(uint8_t memory);

// Whether no session that the message is for would have to keep it. The batch has a
// short_window.
bool nmq_shortage_takes_all(const nmq_batch *batch, const nmq_client *from,
                            const nmq_message_parts *parts, const nmq_matches *matches);
