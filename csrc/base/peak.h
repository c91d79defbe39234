// peak.h - the most that there was at once.
//
// Threads  thread-safe: a peak is atomic.
// Cost     a load while the value is below the peak.
#pragma once
#include <stdint.h>

// The value has come to this.
static inline void
nmq_peak_raise(uint64_t *peak, uint64_t value)
{
    uint64_t most = __atomic_load_n(peak, __ATOMIC_RELAXED);

    while (value > most && !__atomic_compare_exchange_n(
                               peak, &most, value, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}
