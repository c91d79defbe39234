// mem.h - the one seam through which the core allocates.
//
// Builds with NMQ_MEM_COUNT (tests) count what is alive and can make any allocation fail;
// other builds pass straight to the C library, because a shared counter would be a
// contended cache line on the message path.
//
// Threads  all functions are thread-safe.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Each returns NULL when memory is out. Sizes are bytes; 0 gives a unique pointer.
void *nmq_alloc(size_t size);
void *nmq_zalloc(size_t size); // zeroed

// Resizes as realloc does: on failure returns NULL and `at` is untouched.
void *nmq_resize(void *at, size_t size);

// Takes NULL.
void nmq_free(void *at);

// Bytes that the C library has handed out in this process; 0 where it cannot tell. It looks
// at the whole heap.
uint64_t nmq_mem_heap(void);

// Allocations alive now; 0 always where NMQ_MEM_COUNT is not defined.
long nmq_mem_live(void);

// Lets n more allocations succeed, then fails each one. -1: never fail.
void nmq_mem_fail_after(long n);
