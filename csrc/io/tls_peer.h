// tls_peer.h - the certificate that a client has shown, as it is.
//
// nng tells a Common Name by looking for "CN=" in the whole subject as text, and
// alternative names without their kind. The certificate itself says which is which
// (io/certificate.h).
//
// Threads  thread-safe, after nmq_tls_peer_begin.
// Source   Mbed TLS 3.6, x509_crt.h
#pragma once
#include "base/bytes.h"
#include "io/nng.h"

// Puts itself between nng and the library (io/tls_library.h, which has found it). Once,
// before the first connection.
void nmq_tls_peer_begin(void);

// Whether certificates can be had; if not, none of their names is known.
bool nmq_tls_peer_is_known(void);

// Returns whether the peer has shown a certificate. *der is it, and stays while the stream
// does; at NULL where it cannot be had. Once the handshake is over.
bool nmq_tls_peer_certificate(nng_stream *stream, nmq_bytes *der);
