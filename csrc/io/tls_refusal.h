// tls_refusal.h - the handshakes that have failed, and why, for the log and for the peer.
//
//     note(ssl, why) ──> error(ssl) ... text(stream) once ──> forget(ssl)
//
// A failure is known until its context (ssl) is released: nng may come again late, and a
// context that has failed must not be used.
//
// Owner    contexts and streams are nng's, and are compared only.
// Threads  thread-safe; one lock, alone.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const void *ssl;    // of Mbed TLS
    const void *stream; // of nng
    int error;          // of Mbed TLS, not 0
    uint32_t bad;       // bits of enum nmq_mbed_bad
} nmq_tls_failure;

// Returns whether it is kept; memory may be out.
bool nmq_tls_refusal_note(const nmq_tls_failure *failure);

// The error that the handshake of that context failed with; 0: it has not failed.
int nmq_tls_refusal_error(const void *ssl);

// The context is released, and its address may come again.
void nmq_tls_refusal_forget(const void *ssl);

// The alert that tells a client what is wrong with its certificate; bad is not 0.
uint8_t nmq_tls_refusal_alert(uint32_t bad);

// Writes why the handshake of that stream failed. Returns NMQ_OK; or NMQ_ENOENT when it did
// not fail, when it failed because the peer had gone, or when this was told already.
int nmq_tls_refusal_text(const void *stream, char *to, size_t cap);
