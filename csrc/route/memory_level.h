// memory_level.h - how much of options' memory_max_bytes is taken. The broker owns the
// level; net/memory.c sets it, and parts that would keep more look at it: NMQ_LIVE
// (base/live.h).
#pragma once

enum nmq_memory_level {
    NMQ_MEMORY_FINE,
    NMQ_MEMORY_SHORT, // all is taken: what would keep more is refused
    NMQ_MEMORY_OUT,   // over it: nearly everything is refused, some are cut
};
