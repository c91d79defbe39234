// fanout.h - one message to all who are to have it.
//
//     publish ──> retained, if it is ──> one member of each shared group ──> the others
//
// Threads  thread-safe; a batch belongs to the thread that began it.
// Cost     the nodes of the tree that match, and the subscriptions there. A message for
//          thousands leaves the lane now and then.
#pragma once
#include "route/batch.h"
#include "route/client.h"

// Routes one message; `from` is the publishing client or NULL. *message may hold the
// message already; otherwise it is made when a receiver needs to keep it. The caller unrefs
// it. Returns how many sessions took it.
// A message over the bounds of what is retained is not kept. If the batch may refuse, it
// also goes to nobody, and batch->refused is set. When memory is short and a session would
// have to keep the message, batch->refused is set too; the other sessions got it, unless
// all_or_none. One that would be logged goes to nobody if batch->may_log is not NMQ_OK, and
// batch->unlogged is set as well.
unsigned nmq_fanout_publish(nmq_batch *batch, const nmq_client *from,
                            const nmq_message_parts *parts, nmq_message **message);

// Publishes one message in a batch of its own: a message of a program, which waits for
// nobody, and is refused with NMQ_ENOSPC or NMQ_ESTORE where it would be logged and cannot
// be; parts of a will, which was let in with its CONNECT. With parts, the message is made
// only when somebody has to keep it.
int nmq_fanout_publish_message(nmq_router *router, const nmq_client *from,
                               nmq_message *message);
unsigned nmq_fanout_publish_parts(nmq_router *router, const nmq_client *from,
                                  const nmq_message_parts *parts);

// Gives a delivery of a session that has ended to another member of its shared group, if
// there is one left (4.8.2). Call without a lane.
void nmq_fanout_pass_on(nmq_router *router, const nmq_delivery *delivery);
