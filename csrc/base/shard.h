// shard.h - spreads what all threads touch over several cache lines.
//
// Threads  thread-safe.
#pragma once
#include <stdint.h>

enum { NMQ_SHARDS = 16, NMQ_CACHE_LINE = 64 };

// The shard of the calling thread, always the same: 0 to NMQ_SHARDS - 1.
unsigned nmq_shard(void);
