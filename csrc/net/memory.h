// memory.h - the bound on what the process takes for all clients together.
//
//     held by the core + known cost of TLS + the rest, as Python measures it
//            │
//     fine ──┴─ max_memory ─> short: growth is refused ── + 5 % ─> out: connections are cut
//
// While memory is short it refuses: a CONNECT that needs a session (connect.c, registry.c),
// a new subscription (subscriptions.c), a message that would have to be kept (publish.c,
// shortage.c), and the buffer for a large packet (in_buffer.c). What a session holds is
// never dropped for memory: it was acknowledged.
//
// Threads  any; call without a lock or a lane.
#pragma once
#include "net/conn.h"

void nmq_memory_init(nmq_conns *conns); // after nmq_conns_init

// Looks how much memory is taken, and sets the router's level.
void nmq_memory_look(nmq_conns *conns);

// The same if it is time for it (nmq_mem_due). When memory is out it also cuts the
// connection that holds the most by its own doing.
void nmq_memory_check(nmq_conns *conns);

// The connection waits until there is memory, or room on the disk for what it publishes;
// after the time that publishers wait for a slow subscriber, or nmq_journal.hold_ms, it is
// closed. Receive side, which calls nmq_park_rest.
void nmq_memory_wait(nmq_conn *conn);

// Who holds which memory; see nmq.h.
void nmq_memory_report(nmq_conns *conns, nmq_memory *out);
