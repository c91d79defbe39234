// retain_cursor.h - a walk over the retained messages whose topics a filter matches, in
// steps: between two steps the store may change.
//
//     open a/#  ->  step: a, a/b | others use the store | step: a/c, a/c/d  ->  over
//
// What is stored after nmq_retain_open is left out, also where it took the place of
// another. The node that a cursor stands on stays in the store until the cursor moves on.
//
// Owner    nmq_retain_open .. nmq_retain_close, or with the store gone nmq_free. It copies
//          the filter.
// Threads  none of its own: the store's lock.
// Cost     step: the nodes that it visits.
#pragma once
#include "store/retain.h"

typedef struct nmq_retain_cursor nmq_retain_cursor;

// filter is a valid Topic Filter without $share. Returns NULL when memory is out.
nmq_retain_cursor *nmq_retain_open(nmq_retain *retain, nmq_bytes filter);
void nmq_retain_close(nmq_retain *retain, nmq_retain_cursor *cursor); // takes NULL

// The same for what was stored up to that order (retain.h), beginning at that topic. Where
// there is no message, or the filter does not lead there, it begins at the beginning.
nmq_retain_cursor *nmq_retain_open_at(nmq_retain *retain, nmq_bytes filter, uint64_t order,
                                      nmq_bytes topic_name);

// Moves on to just before the next message, which the next step begins with. Returns its
// topic, which is borrowed until the store changes; at NULL: nothing is left. Cost: the
// nodes that it visits.
nmq_bytes nmq_retain_next(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms);

uint64_t nmq_retain_cursor_order(const nmq_retain_cursor *cursor);

nmq_bytes nmq_retain_cursor_filter(const nmq_retain_cursor *cursor); // borrowed from it

// Visits up to *visits more nodes, which it takes off, and writes up to `most` references
// to live messages to out, which are the caller's; it goes on to just before the next one,
// so that it tells when there is none. Returns how many.
int nmq_retain_step(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms,
                    uint32_t *visits, nmq_message **out, uint32_t most);

bool nmq_retain_is_over(const nmq_retain_cursor *cursor); // nothing is left
