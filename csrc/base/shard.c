#include "base/shard.h"

unsigned
nmq_shard(void)
{
    static unsigned next;
    static _Thread_local unsigned mine; // 0: none yet

    if (mine == 0) {
        mine = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
    }
    return mine % NMQ_SHARDS;
}
