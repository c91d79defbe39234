// tls_psk.h - pre-shared keys: who may connect without a certificate, and who did.
//
//     set(keys) ──> handshake: the client says "pump-7" ──> its key ──> identity(stream)
//
// Where a configuration has such keys, every handshake uses one: there is no other way in,
// so that a handshake that went well proves the identity.
//
// Owner    the configuration keeps copies of identities and keys, wiped when it goes.
// Threads  thread-safe, after nmq_tls_psk_begin; one lock, alone.
// Source   RFC 4279, 2; RFC 8446, 4.2.9 and 4.2.11; Mbed TLS 3.6, mbedtls_ssl_conf_psk_cb
#pragma once
#include "io/psk.h"
#include "io/tls_config.h"

// Looks for the library's functions (io/tls_library.h). Once.
void nmq_tls_psk_begin(void);

// Whether there can be pre-shared keys.
bool nmq_tls_psk_is_possible(void);

// From now on that configuration lets those in, and nobody else. Returns NMQ_OK, NMQ_ENOENT
// where it is not possible, or NMQ_ENOMEM.
int nmq_tls_psk_set(const nmq_tls *tls, const nmq_tls_psk *keys, size_t count);

// Writes whose key the handshake of that stream used, NUL-terminated. Returns NMQ_OK, or
// NMQ_ENOENT where it used none.
int nmq_tls_psk_identity(const void *stream, char *to, size_t cap);

// The context is released, and its address may come again.
void nmq_tls_psk_forget(const void *ssl);
