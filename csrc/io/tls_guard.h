// tls_guard.h - corrects the handshakes of the Mbed TLS inside pynng.
//
// One at a time. It is built without locks, and its TLS 1.3 keeps keys of a handshake in
// slots that all threads share: two handshakes at once can fail, or end the process (1 in
// 12,000 did, measured).
//
// The client can read the alert that refuses its certificate. In TLS 1.3 version 3.6 sends
// that alert with the keys of the handshake, when the client reads with those of the
// application already.
//
// A bad certificate is refused also where none is required: nng lets it pass.
//
// The cipher suites can be chosen, and why a handshake failed is kept for the log.
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

// Writes why the handshake of that stream of nng's failed. Returns NMQ_OK, or NMQ_ENOENT
// when it did not fail, or because the peer had gone.
int nmq_tls_refusal(const void *stream, char *to, size_t cap);

// For the configuration that this thread made last: a bad certificate is refused also where
// a client may come without one.
void nmq_tls_refuse_bad(void);

// For the configuration that this thread made last: uses these cipher suites, the preferred
// first, but for those that the library does not have. Returns NMQ_OK, NMQ_ENOENT where
// suites cannot be chosen, or NMQ_ENOMEM.
int nmq_tls_set_ciphers(const uint16_t *suites, size_t count);
