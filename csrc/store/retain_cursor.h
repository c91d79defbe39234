// retain_cursor.h - a walk over the retained messages whose topics a filter matches, in
// steps: between two steps the store may change.
//
//     open a/#  ->  step: a, a/b | others use the store | step: a/c, a/c/d  ->  over
//
// Messages stored after nmq_retain_open are left out, also those that replace an older one.
// The node that a cursor stands on stays in the store until the cursor moves on.
//
// Owner    the caller: nmq_retain_open .. nmq_retain_close, or nmq_free once the store is
//          gone. A cursor copies the filter.
// Threads  none of its own: the store's lock.
// Cost     step: the nodes that it visits.
#pragma once
#include "store/retain.h"

typedef struct nmq_retain_cursor nmq_retain_cursor;

// filter is a valid Topic Filter without $share. Returns NULL when memory is out.
nmq_retain_cursor *nmq_retain_open(nmq_retain *retain, nmq_bytes filter);
void nmq_retain_close(nmq_retain *retain, nmq_retain_cursor *cursor); // takes NULL

// The same for what was stored up to that order (nmq_retain_order), beginning at that
// topic. It begins at the start if that topic has no message, or the filter does not lead
// to it.
nmq_retain_cursor *nmq_retain_open_at(nmq_retain *retain, nmq_bytes filter, uint64_t order,
                                      nmq_bytes topic_name);

// Moves on to just before the next message, which the next step begins with. Returns its
// topic, which is borrowed until the store changes; at NULL: nothing is left. Cost: the
// nodes that it visits.
nmq_bytes nmq_retain_next(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms);

uint64_t nmq_retain_cursor_order(const nmq_retain_cursor *cursor);

nmq_bytes nmq_retain_cursor_filter(const nmq_retain_cursor *cursor); // borrowed from it

// Visits up to *visits nodes and subtracts how many it visited. Writes up to `most`
// references to live messages to out; they are the caller's. Stops just before the next
// message, so that nmq_retain_is_over tells when there is none. Returns how many it wrote.
int nmq_retain_step(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms,
                    uint32_t *visits, nmq_message **out, uint32_t most);

bool nmq_retain_is_over(const nmq_retain_cursor *cursor); // nothing is left
