// live.h - values that a reload changes while other threads read them.
//
// Threads  each value for itself; no order between two of them.
// Cost     a load or a store.
#pragma once

#define NMQ_LIVE(value)         __atomic_load_n(&(value), __ATOMIC_RELAXED)
#define NMQ_LIVE_SET(value, to) __atomic_store_n(&(value), (to), __ATOMIC_RELAXED)
