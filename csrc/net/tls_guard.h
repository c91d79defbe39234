// tls_guard.h - what the Mbed TLS inside pynng needs to be a broker's: its handshakes.
//
// One at a time. It is built without locks, and its TLS 1.3 keeps keys of a handshake in
// slots that all threads share: two handshakes at once can fail, or end the process (1 in
// 12,000 did, measured).
//
// A certificate that is refused is told by an alert that the client can read. Version 3.6
// sends the alerts of the client's second flight in TLS 1.3 with the keys of the handshake,
// which the client has left by then. And nng lets a bad certificate pass where one is not
// required.
//
// Owner    lists of cipher suites belong to the configuration that they are set for.
// Threads  thread-safe, after nmq_tls_guard.
// Source   Mbed TLS 3.6, MBEDTLS_THREADING_C and ssl_tls13_server.c; RFC 8446, 7.3 and
//          appendix A.2
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Puts itself between nng and the library. Once, before its first use. Returns NMQ_OK, or
// NMQ_ENOENT when the calls cannot be reached.
int nmq_tls_guard(void);

// Whether it is guarded; if not, TLS 1.3 is better left alone.
bool nmq_tls_is_guarded(void);
