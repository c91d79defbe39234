// recv.h - the receive side: from the stream to the packets, one batch a read.
//
//     read ──> on_recv ──> intake ──> packet, packet, ... ──> read, or park, or end
//
// Threads  one at a time: the receive side. When a function returns, the connection may
//          already be another thread's.
#pragma once
#include "net/conn.h"

// Reads once, or waits for the memory to do so.
void nmq_recv_read(nmq_conn *conn);

// The end of the receive side; `lost` when the peer is gone and what waits has no receiver.
void nmq_recv_end(nmq_conn *conn, bool lost);

void nmq_recv_run_job(nmq_job *job, nmq_worker *worker); // of conn.job
void nmq_recv_resume(nmq_link *link);                    // nmq_link_ops

// nmq_stream_received
void nmq_recv_on_recv(void *arg, nmq_worker *worker, int status, size_t count);
