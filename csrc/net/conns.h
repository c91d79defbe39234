// conns.h - the set of all connections of one broker.
//
// Owner    the set holds no reference: a connection is in it from add to remove, and counts
//          as open until it is freed.
// Threads  thread-safe.
#pragma once
#include "net/conn.h"

// The set uses the sessions, and the clock and router that they use; all of them outlive
// it. role_arg is handed to the role.
void nmq_conns_init(nmq_conns *conns, nmq_sessions *sessions, uint8_t *memory,
                    const nmq_role *role, void *role_arg);
void nmq_conns_fini(nmq_conns *conns);

// Gives the connection its number and adds it. Returns false when no more are taken, or
// memory is out. The connection counts as open in any case.
bool nmq_conns_add(nmq_conns *conns, nmq_conn *conn);

// The connection is over: nobody finds it any more, and its place is free. Receive side.
void nmq_conns_remove(nmq_conn *conn);

// A connection is freed.
void nmq_conns_count_freed(nmq_conns *conns);

// Returns a reference to the connection of that number, or NULL.
nmq_conn *nmq_conns_find(nmq_conns *conns, uint64_t number);

// References to all connections; the caller unrefs each and frees the array. NULL when
// memory is out or there is none.
nmq_conn **nmq_conns_all(nmq_conns *conns, size_t *count);

// From now on no more are taken.
void nmq_conns_close(nmq_conns *conns);

// Waits until all are freed, timeout_ms at most. Returns whether they are.
bool nmq_conns_wait_freed(nmq_conns *conns, uint32_t timeout_ms);
