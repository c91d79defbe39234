#include "net/answer.h"

#include "base/status.h"
#include "route/held.h"

int
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
