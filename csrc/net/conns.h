// conns.h - the set of all connections of one broker.
//
// Owner    the set holds no reference: a connection is in it from add to remove, and counts
//          as open until it is freed.
// Threads  thread-safe.
#pragma once
#include "net/conn.h"

// With what the sessions use, which is the broker's and outlives it. role_arg is the
// role's.
void nmq_conns_init(nmq_conns *conns, nmq_sessions *sessions, uint8_t *memory,
                    const nmq_role *role, void *role_arg);
void nmq_conns_fini(nmq_conns *conns);

// Gives the connection its number and adds it. False when none is taken any more or memory
// is out; it counts as open in any case.
bool nmq_conns_add(nmq_conns *conns, nmq_conn *conn);

// It is over: nobody finds it any more, and another may come. Receive side.
void nmq_conns_remove(nmq_conn *conn);

// A connection is freed.
void nmq_conns_count_freed(nmq_conns *conns);

// Returns a reference to the connection of that number, or NULL.
nmq_conn *nmq_conns_find(nmq_conns *conns, uint64_t number);

// References to all connections; the caller unrefs each and frees the array. NULL when
// memory is out or there is none.
nmq_conn **nmq_conns_all(nmq_conns *conns, size_t *count);

// No more are taken.
void nmq_conns_close(nmq_conns *conns);

// Waits until all are freed, timeout_ms at most. Returns whether they are.
bool nmq_conns_wait_freed(nmq_conns *conns, uint32_t timeout_ms);
