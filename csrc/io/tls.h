// tls.h - how a listener, or a dial, speaks TLS. cffi reads this file: no macros here.
//
//     nmq_tls_guard, once;  nmq_tls_new(certificates, key, suites) ──> an endpoint's tls
//                           nmq_tls_new_client(CA, name) ──> a dial's tls (io/dialer.h)
//
// Owner    nmq_tls belongs to the caller; whoever uses it keeps what it needs of it.
// Threads  thread-safe, after nmq_tls_guard.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/psk.h" // cffi reads it too

// Makes TLS handshakes go one at a time: the Mbed TLS of pynng cannot do two at once. Call
// it after the functions are bound (io/engine.h), before anything else. Returns NMQ_OK, or
// NMQ_ENOENT where it cannot be done; then TLS 1.3 is spoken only where 1.2 is refused.
int nmq_tls_guard(void);

// Texts are NUL-terminated PEM and are copied.
typedef struct {
    const char *cert;         // the chain, the broker's own first; NULL: with psks alone
    const char *key;          // its private key
    const char *key_password; // NULL: the key is not encrypted
    const char *ca;           // the CAs that sign certificates of clients; NULL: none
    const char *crl;          // certificates that those CAs have revoked; NULL: none
    bool verify_peer;         // check the certificates of clients
    bool require_cert;        // and refuse those that have none
    uint8_t min_version;      // 12 or 13: TLS 1.2 or 1.3
    const uint16_t *ciphers;  // suites by their number (IANA's), the preferred first; those
                              // that the library does not have are left out
    size_t cipher_count;      // 0: what Mbed TLS prefers
    const nmq_tls_psk *psks;  // who may connect; there is no certificate then
    size_t psk_count;         // 0: clients need no such key
} nmq_tls_options;

// Certificates and keys that TLS can use, made ready.
typedef struct nmq_tls nmq_tls;

// Returns NMQ_OK, NMQ_ECRYPTO, NMQ_ENOENT for cipher suites where none can be chosen and
// for psks where there can be none, or NMQ_ENOMEM. A listener keeps what it uses of them:
// they may be freed at any time.
int nmq_tls_new(const nmq_tls_options *options, nmq_tls **out);
void nmq_tls_free(nmq_tls *tls); // takes NULL

// The same for connections that we begin. Texts are NUL-terminated, and are copied.
typedef struct {
    const char *server_name;  // whose certificate is wanted: the host's
    const char *ca;           // PEM: who stands for it; NULL only without verify_peer
    const char *cert;         // PEM: our own, the chain; NULL: none
    const char *key;          // PEM: its private key
    const char *key_password; // NULL: the key is not encrypted
    bool verify_peer;         // false: anybody may pretend to be the server
    uint8_t min_version;      // 12 or 13: TLS 1.2 or 1.3
} nmq_tls_client_options;

// Returns NMQ_OK, NMQ_EINVAL, NMQ_ECRYPTO or NMQ_ENOMEM; nmq_tls_free frees it at any time.
int nmq_tls_new_client(const nmq_tls_client_options *options, nmq_tls **out);

// Whether cipher suites can be chosen here, and whether there is one of that number.
bool nmq_tls_takes_ciphers(void);
bool nmq_tls_has_cipher(uint16_t suite);

// Whether names in clients' certificates can be read here, and whether there can be psks.
bool nmq_tls_knows_certificates(void);
bool nmq_tls_takes_psks(void);
