// answer.h - packets that answer a peer's own: they wait for the journal, if it is to have
// what they answer (route/held.h).
//
// Inline: one comes with most messages.
//
// Threads  the receive side, inside its batch.
#pragma once
#include "base/status.h"
#include "net/conn.h"
#include "route/held.h"

// Appends the bytes, unless the connection is to close. waits: if the journal is to have
// what the batch did, they are held until then. Returns NMQ_OK or NMQ_ENOMEM.
static inline int
nmq_answer_put(nmq_conn *conn, nmq_batch *batch, nmq_bytes bytes, bool waits)
{
    nmq_link *link = &conn->link;
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&link->lock);
    if (!link->closed) {
        rv = waits && batch->logged != 0
                 ? nmq_held_put(link, batch->router->journal, batch->logged, bytes)
                 : nmq_outbox_put(&link->outbox, bytes);
    }
    nmq_batch_count(batch, NMQ_BATCH_OUT + nmq_packet_kind_of(bytes.at[0]));
    nmq_batch_touch(batch, link);
    (void) pthread_mutex_unlock(&link->lock);
    return rv;
}
