// worker.h - one thread that reads sockets, and what it has written but not flushed yet.
//
//     read ──batch──> put off ──wants more──> read ──batch──> put off ... ──> flush: all of
//     it
//
// Flushing a thing (for the broker: one connection) costs a system call. While batches
// write to many things, but little to each, the next batch that waits is worth reading
// before the flush: publishers that work through the same devices then share it.
//
// Owner    each thread that reads sockets has one; a zeroed nmq_worker is one that has put
//          off nothing. Threads that do not read sockets pass NULL, and flush at once.
// Threads  a worker belongs to its thread; it is passed to what runs there, and not kept.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Embedded in what can be put off.
typedef struct nmq_unflushed {
    struct nmq_unflushed *next;
} nmq_unflushed;

// To flush, in this order. A zeroed one is empty.
typedef struct {
    nmq_unflushed *first;
    nmq_unflushed *last; // where first is not NULL
} nmq_unflushed_list;

// Flushes one thing. It is on no list any more, and may be put on another.
typedef void nmq_flush_fn(nmq_unflushed *thing);

typedef struct {
    nmq_unflushed_list list;
    nmq_flush_fn *flush; // how things on the list are flushed: all in the same way
    uint64_t messages;   // written since the last flush
    unsigned things;     // on the list; not counted past the few that matter
    unsigned batches;    // read since the last flush
} nmq_worker;

// Appends the thing, which is on no list.
void nmq_unflushed_put(nmq_unflushed_list *list, nmq_unflushed *thing);

// A batch has ended: takes its list, into which `messages` were written. The worker puts it
// off, unless much has been written; without a worker (NULL) it is flushed at once. Call
// without a lock.
void nmq_worker_put_off(nmq_worker *worker, nmq_unflushed_list list, nmq_flush_fn *flush,
                        uint64_t messages);

// Whether to read one more batch, if one waits, before the flush.
bool nmq_worker_wants_more(nmq_worker *worker);

// Whether this batch, which has written `messages` so far, takes so long that it is to be
// ended and another begun, because things of earlier batches wait. Only this thread flushes
// what it has put off, and meanwhile the peer of such a thing seems to stand still. Takes
// NULL.
bool nmq_worker_is_full(const nmq_worker *worker, uint64_t messages);

// Flushes what has been put off, and begins anew.
void nmq_worker_flush(nmq_worker *worker);
