// tls_guard.h - one TLS handshake at a time.
//
// The Mbed TLS inside pynng is built without locks. Its TLS 1.3 keeps keys of a handshake
// in slots that all threads share, so two handshakes at once can fail, or end the process
// (1 in 12,000 did, measured). Mbed TLS has no hook for it and nng hides its engine; what
// is left is the table through which the library calls its own functions: there each
// handshake gets a lock around it.
//
// Source  Mbed TLS 3.6, MBEDTLS_THREADING_C; System V ABI, procedure linkage table
#pragma once
#include <stdbool.h>

// Guards the library that the functions of the table come from. Once, before its first
// use. Returns NMQ_OK, or NMQ_ENOENT when the calls cannot be reached.
int nmq_tls_guard(void);

// Whether it is guarded; if not, TLS 1.3 is better left alone.
bool nmq_tls_is_guarded(void);
