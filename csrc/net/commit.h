// commit.h - a connection waits for the journal: replies that are held are let go with the
// batch's last number, and one of which too much is held is not read meanwhile.
//
// Threads  each function says who may call it; without a lock.
#pragma once
#include "net/conn.h"

// Before a batch of a connection that has held something. Returns what its replies wait
// for at least, as nmq_batch.logged: they go behind those that are held.
uint64_t nmq_commit_behind(nmq_conn *conn);

// After a batch that has logged something, or found the journal full (NMQ_NEXT_FULL).
// logged: nmq_batch.logged. Returns whether the connection is to wait: more is held than
// may wait for one connection, or the journal is full. Receive side, which then calls
// nmq_park_rest.
bool nmq_commit_wait(nmq_conn *conn, uint64_t logged, bool full);

void nmq_commit_over(nmq_link *link); // nmq_link_ops.committed
