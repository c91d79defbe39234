// memory_level.h - how much memory is taken of options' memory_max_bytes. The broker owns
// the level; net/memory.c sets it, and who would keep more looks at it: NMQ_LIVE
// (base/live.h).
#pragma once

enum nmq_memory_level {
    NMQ_MEMORY_FINE,
    NMQ_MEMORY_SHORT, // all of it: what would keep more is refused
    NMQ_MEMORY_OUT,   // more than that: nearly everything is, and who exceeds is cut
};
