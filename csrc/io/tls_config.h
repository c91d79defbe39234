// tls_config.h - a TLS configuration of nng's, with Mbed TLS's own inside it.
//
// Owner    the configuration keeps what Mbed TLS was given and has no copy of.
// Threads  thread-safe, after nmq_tls_config_begin.
#pragma once
#include "io/nng.h"

typedef struct nmq_tls {
    nng_tls_config *config; // a reference; nng counts its users
    void *mbed;             // NULL where it is not known
} nmq_tls;

// Puts itself between nng and the library (io/tls_library.h, which has found it). Once,
// before the first configuration; without it cipher suites cannot be chosen.
void nmq_tls_config_begin(void);

// Makes a configuration: mode is NNG_TLS_MODE_SERVER or NNG_TLS_MODE_CLIENT. Returns
// NMQ_OK or NMQ_ENOMEM.
int nmq_tls_config_init(nmq_tls *tls, int mode);

// Takes `owned`, which is freed with the configuration. Returns NMQ_OK, NMQ_ENOENT where
// its end cannot be seen, or NMQ_ENOMEM; then the caller keeps it.
int nmq_tls_config_keep(const nmq_tls *tls, void *owned, void (*free)(void *owned));

bool nmq_tls_config_takes_ciphers(void);
bool nmq_tls_config_has_cipher(uint16_t suite);

// Uses these cipher suites, the preferred first, but for those that the library does not
// have. Returns NMQ_OK, NMQ_ENOENT where suites cannot be chosen, or NMQ_ENOMEM.
int nmq_tls_config_set_ciphers(const nmq_tls *tls, const uint16_t *suites, size_t count);
