// send.h - the send side: from the outbox to the stream, and the close behind it.
//
//     outbox ──load──> sending ──> stream ... nothing is left ──> idle, or closed
//
// One thread at a time sends: whoever finds the side idle starts it. What others put into
// the outbox meanwhile goes with the next load.
//
// Owner    a send under way holds a reference.
// Threads  any; call without a lock.
#pragma once
#include "net/conn.h"

// Starts the send side if it rests and there is something for it to do.
void nmq_send_start(nmq_conn *conn);

// nmq_link_ops.flush: the same, and the link has left the list of what is to be flushed.
void nmq_send_flush(nmq_link *link);

// nmq_stream_sent
void nmq_send_on_sent(void *arg, int status, size_t count);

// nmq_link_ops.disconnect: tells the peer the reason and closes once all is sent. The
// receive side hears of it, wherever it is parked.
void nmq_send_disconnect(nmq_link *link, uint8_t reason_code);
