// ring.h - a bounded queue of fixed-size records with a wake-up descriptor.
//
// Producers are the core's threads, the consumer is Python's event loop: the descriptor is
// readable from the first record on, until a take empties the ring.
//
// Threads  all functions are thread-safe. Cost: put and take copy one record.
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct nmq_ring nmq_ring;

// Returns NMQ_OK, NMQ_ENOMEM, or NMQ_EIO when no descriptor can be had.
int nmq_ring_new(size_t record_size, size_t capacity, nmq_ring **out);
void nmq_ring_free(nmq_ring *ring); // takes NULL

// Copies the record in. Returns false when there is no room.
bool nmq_ring_put(nmq_ring *ring, const void *record);

// Copies at most `most` records out in order; returns how many.
size_t nmq_ring_take(nmq_ring *ring, void *records, size_t most);

// The descriptor to poll for reading; the ring's, do not close it.
int nmq_ring_fd(const nmq_ring *ring);
