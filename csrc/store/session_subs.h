// session_subs.h - the subscriptions of one session, as its client made them.
//
//     subs  [a/b] [$share/g/c] ...      a long list has an index by text
//
// The tree knows the same ones by their filter: both change together.
//
// Owner    the session owns the texts and the list.
// Threads  none of its own: the tree's lock.
// Cost     put, del: constant on average.
#pragma once
#include "store/session_state.h"

// Keeps the list of subscriptions in step with the tree. `is_new` is what nmq_tree_put
// said. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_session_sub_put(nmq_session *session, const nmq_filter *filter, uint8_t options,
                        uint32_t identifier, bool is_new);
void nmq_session_sub_del(nmq_session *session, nmq_bytes text);

// The subscription of that text, or NULL. It holds until the next put or del.
const nmq_session_sub *nmq_session_sub_find(const nmq_session *session, nmq_bytes text);

// The subscription's filter as it was put, borrowed from it.
nmq_filter nmq_session_sub_filter(const nmq_session_sub *sub);

void nmq_session_subs_free(nmq_session *session); // nmq_session_free calls it
