// engine.h - what a process does first: it hands in the functions of nng, which are in
// pynng. cffi reads this file: no macros here.
//
//     for each index: nmq_engine_bind(index, address of nmq_engine_name(index))
//     nmq_engine_threads;  nmq_tls_guard (io/tls.h);  then the first broker
//
// Threads  from one thread, before anything else.
#pragma once
#include <stddef.h>
#include <stdint.h>

// The nng functions that the core calls, by name: 0 <= index < nmq_engine_count().
size_t nmq_engine_count(void);
const char *nmq_engine_name(size_t index);

// Gives the function of that index. All must be bound before nmq_broker_new.
void nmq_engine_bind(size_t index, void *function);

// Sets how many threads read sockets, and how many task threads nng has for TLS, 2 to 256;
// nng's pollers and resolvers to one each. Before the first broker of the process; a later
// call has no effect.
void nmq_engine_threads(uint32_t count);
