// feed.h - records for one reader in Python, who comes for them when he likes: bounded, and
// what finds no room is dropped and counted.
//
//     put ──> [chunk][chunk][chunk] ──take──> a chunk, whole
//
// A descriptor is readable while there is something to take. cffi reads this file: no
// macros here.
//
// Owner    counted: who writes holds a reference, and so does who reads. A chunk that was
//          taken is the reader's.
// Threads  thread-safe.
// Cost     put copies the record under the feed's lock. take: constant.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_feed nmq_feed;

enum { NMQ_FEED_BYTES = 1 << 24 }; // that may wait for a program

// Whole records, one behind the other; each begins with its size (uint32_t).
typedef struct nmq_chunk nmq_chunk;

// max_bytes: of records that wait; a larger one is alone. wakes: it has a descriptor.
// Returns NMQ_OK with one reference in *out, NMQ_ENOMEM, or NMQ_EFILES when no descriptor
// can be had.
int nmq_feed_new(size_t max_bytes, bool wakes, nmq_feed **out);
nmq_feed *nmq_feed_ref(nmq_feed *feed);
void nmq_feed_unref(nmq_feed *feed); // takes NULL

typedef struct {
    const void *at;
    size_t len;
} nmq_feed_piece;

// Adds one record made of these pieces, the first of which begins with the size of them
// all. Returns whether there was room; if not it is counted.
bool nmq_feed_put(nmq_feed *feed, const nmq_feed_piece *pieces, uint32_t count);

// Takes the oldest chunk; NULL: nothing waits. nmq_chunk_free.
nmq_chunk *nmq_feed_take(nmq_feed *feed);
const char *nmq_chunk_read(const nmq_chunk *chunk, size_t *len); // borrowed from it
void nmq_chunk_free(nmq_chunk *chunk);                           // takes NULL

uint64_t nmq_feed_dropped(nmq_feed *feed); // records, so far
size_t nmq_feed_bytes(nmq_feed *feed);     // of records that wait

// The descriptor to poll for reading; the feed's, do not close it. -1: it has none.
int nmq_feed_fd(const nmq_feed *feed);
