// process.h - what this process holds of memory and descriptors, over all brokers. cffi
// reads this file: no macros here.
//
// Threads  thread-safe.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Bytes that the process has allocated; 0 where the C library cannot tell. It looks at all
// of the heap: for a call every few seconds.
uint64_t nmq_heap_bytes(void);

// Bytes that the core holds in this process, over all brokers, with those that TLS is known
// to take. Cheap.
uint64_t nmq_held_bytes(void);

// Sets how many bytes the process takes besides nmq_held_bytes; from now on they count
// against memory_max_bytes. 0: nobody measures it.
void nmq_set_other_bytes(uint64_t bytes);

// Whether the process can have one more descriptor and `keep` more after it. Cheap.
bool nmq_has_descriptors(uint32_t keep);

// Gives memory that lies idle back to the system; milliseconds.
void nmq_trim_memory(void);

// Sets how many heaps the C library may make for threads, 1 or more: with few, less memory
// lies idle. Call it before the first broker is made.
void nmq_set_arenas(uint32_t count);

// Sets whether the system may write this process's memory to a core file, and whether other
// processes of the same user may read it. exec resets it.
void nmq_set_dumpable(bool dumpable);
