#include "base/counters.h"

void
nmq_counters_add(nmq_counters *counters, unsigned which, uint64_t more)
{
    if (more != 0) {
        (void) __atomic_add_fetch(&counters->at[nmq_shard()][which], more,
                                  __ATOMIC_RELAXED);
    }
}

uint64_t
nmq_counters_sum(const nmq_counters *counters, unsigned which)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < NMQ_SHARDS; i++) {
        sum += __atomic_load_n(&counters->at[i][which], __ATOMIC_RELAXED);
    }
    return sum;
}

uint64_t
nmq_counters_total(const nmq_counters *counters, unsigned first, unsigned last)
{
    uint64_t sum = 0;

    for (unsigned which = first; which <= last; which++) {
        sum += nmq_counters_sum(counters, which);
    }
    return sum;
}
