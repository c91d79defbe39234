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

// Once a handshake of that stream of nng's has failed: writes why. Returns NMQ_OK, or
// NMQ_ENOENT where it did not, or its peer was only gone.
int nmq_tls_refusal(const void *stream, char *to, size_t cap);

// Has the configuration that this thread made last refuse a bad certificate, where a client
// may come without one.
void nmq_tls_refuse_bad(void);

// Has the configuration that this thread made last take those of the cipher suites that the
// library has, in order of preference. Returns NMQ_OK, NMQ_ENOENT or NMQ_ENOMEM.
int nmq_tls_set_ciphers(const uint16_t *suites, size_t count);
