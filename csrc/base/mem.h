// mem.h - the one seam through which the core allocates.
//
// Bytes are counted, each thread on a cache line of its own. Builds with NMQ_MEM_COUNT
// (tests) also count what is alive and can make any allocation fail. Others leave that out:
// the one counter that it needs would be a contended line on the message path.
//
// Threads  all functions are thread-safe.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each returns NULL when memory is out. Sizes are bytes; 0 gives a unique pointer.
void *nmq_alloc(size_t size);
void *nmq_zalloc(size_t size); // zeroed

// Resizes as realloc does: on failure returns NULL and `at` is untouched.
void *nmq_resize(void *at, size_t size);

// Takes NULL.
void nmq_free(void *at);

// Bytes that the C library has handed out in this process; 0 where it cannot tell. Cost: it
// looks at the whole heap.
uint64_t nmq_mem_heap(void);

// Gives what lies idle in the C library's heap back to the system.
void nmq_mem_trim(void);

// Sets how many heaps the C library may have, 1 or more: with few, less memory lies idle;
// with many, threads allocate side by side. Call it before the first thread starts.
void nmq_mem_set_arenas(int count);

// Sets whether the system may write this process's memory to a core file, and whether other
// processes of the same user may read it. exec resets it.
void nmq_mem_set_dumpable(bool dumpable);

// Bytes that are allocated through here, in the whole process, with what the C library
// needs for each block.
uint64_t nmq_mem_held(void);

// Bytes that this thread has allocated less those that it has freed, whoever allocated
// them. The difference of two calls is what the work between them took; below 0: gave back.
uint64_t nmq_mem_taken(void);

// Adds to the bytes that other libraries hold for us, where we know how many; below 0:
// takes away.
void nmq_mem_foreign(int64_t bytes);
uint64_t nmq_mem_foreign_held(void);

// What the process takes besides, as somebody measures it now and then; 0: nobody does.
void nmq_mem_set_other(uint64_t bytes);
uint64_t nmq_mem_other(void);

// Bytes of this process that are in memory; 0 where the system does not tell. Cost:
// microseconds.
uint64_t nmq_mem_resident(void);

// Whether this thread has taken 256 KiB since this was last true: time to look at the sums.
bool nmq_mem_due(void);

// Allocations alive now; 0 always where NMQ_MEM_COUNT is not defined.
long nmq_mem_live(void);

// Lets n more allocations succeed, then fails each one. -1: never fail.
void nmq_mem_fail_after(long n);

// The same, but fails one allocation: whoever goes on after a failure is seen by it.
void nmq_mem_fail_once(long n);
