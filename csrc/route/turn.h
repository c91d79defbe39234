// turn.h - the links that a thread has written to and flushes together.
//
//     begin ──batch──> goes_on? ──batch──> ... ──> end: each link is flushed once
//
// A flush costs a system call for each link. While batches write to many links, but little
// to each, the next batch that waits is worth taking before the flush: publishers that work
// through the same devices then share it.
//
// Threads  each has its own turn. Without one a batch is flushed when it ends.
#pragma once
#include "route/link.h"

void nmq_turn_begin(void);

// Whether to handle one more batch, if one waits, before the turn ends.
bool nmq_turn_goes_on(void);

// Whether links of earlier batches wait while this one, which has written `messages` so
// far, takes long: then it is to be ended, and another begun. A link that waits for its
// flush is not flushed by any other thread, and its peer would seem to stand still.
bool nmq_turn_is_full(uint64_t messages);

void nmq_turn_end(void);

// Flushes a batch's links in their order: at the end of the turn if there is one and not
// much has been written in it, else now. Takes the list, linked by next_flush, `last` its
// end (first NULL: it is empty), with a reference to each; `messages` were written to them.
// Call without a lock.
void nmq_turn_flush(nmq_link *first, nmq_link *last, uint64_t messages);
