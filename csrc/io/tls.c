#include "io/tls.h"

#include "base/mem.h"
#include "base/status.h"
#include "io/tls_config.h"
#include "io/tls_guard.h"
#include "io/tls_library.h"
#include "io/tls_peer.h"
#include "io/tls_psk.h"

bool
nmq_tls_takes_ciphers(void)
{
    return nmq_tls_config_takes_ciphers();
}

bool
nmq_tls_has_cipher(uint16_t suite)
{
    return nmq_tls_config_has_cipher(suite);
}

bool
nmq_tls_knows_certificates(void)
{
    return nmq_tls_peer_is_known();
}

bool
nmq_tls_takes_psks(void)
{
    return nmq_tls_psk_is_possible();
}

// Returns 0 or an error of nng.
static int
set_versions(const nmq_tls *tls, uint8_t min_version)
{
    int least = min_version >= 13 ? NNG_TLS_1_3 : NNG_TLS_1_2;
    int most = nmq_tls_guard_holds() || least == NNG_TLS_1_3 ? NNG_TLS_1_3 : NNG_TLS_1_2;

    return nng.tls_config_version(tls->config, least, most);
}

static int
status_of(int rv)
{
    return rv == 0 || rv == NNG_ENOMEM ? nmq_nng_status(rv) : NMQ_ECRYPTO;
}

static int
fill(const nmq_tls *tls, const nmq_tls_options *options)
{
    int mode = !options->verify_peer   ? NNG_TLS_AUTH_NONE
               : options->require_cert ? NNG_TLS_AUTH_REQUIRED
                                       : NNG_TLS_AUTH_OPTIONAL;
    int status =
        options->cipher_count > 0
            ? nmq_tls_config_set_ciphers(tls, options->ciphers, options->cipher_count)
            : NMQ_OK;

    if (status == NMQ_OK && options->psk_count > 0) {
        status = nmq_tls_psk_set(tls, options->psks, options->psk_count);
    }
    if (status != NMQ_OK) {
        return status;
    }
    if (mode == NNG_TLS_AUTH_OPTIONAL) {
        nmq_tls_guard_refuse_bad(tls->mbed);
    }
    int rv = set_versions(tls, options->min_version);
    if (rv == 0 && options->cert != NULL) {
        rv = nng.tls_config_own_cert(tls->config, options->cert, options->key,
                                     options->key_password);
    }
    if (rv == 0 && options->ca != NULL) {
        rv = nng.tls_config_ca_chain(tls->config, options->ca, options->crl);
    }
    if (rv == 0) {
        rv = nng.tls_config_auth_mode(tls->config, mode);
    }
    return status_of(rv);
}

// Makes one and leaves it empty. Returns NMQ_OK or NMQ_ENOMEM.
static int
make(int mode, nmq_tls **out)
{
    nmq_tls *tls = nmq_zalloc(sizeof *tls);

    if (tls == NULL) {
        return NMQ_ENOMEM;
    }
    int rv = nmq_tls_config_init(tls, mode);
    if (rv != NMQ_OK) {
        nmq_tls_free(tls);
        return rv;
    }
    *out = tls;
    return NMQ_OK;
}

int
nmq_tls_new(const nmq_tls_options *options, nmq_tls **out)
{
    nmq_tls *tls = NULL;
    int rv = make(NNG_TLS_MODE_SERVER, &tls);

    if (rv == NMQ_OK) {
        rv = fill(tls, options);
    }
    if (rv != NMQ_OK) {
        nmq_tls_free(tls);
        return rv;
    }
    *out = tls;
    return NMQ_OK;
}

static int
fill_client(const nmq_tls *tls, const nmq_tls_client_options *options)
{
    int rv = set_versions(tls, options->min_version);

    if (rv == 0) { // also the name that Mbed TLS looks for in the certificate
        rv = nng.tls_config_server_name(tls->config, options->server_name);
    }
    if (rv == 0 && options->ca != NULL) {
        rv = nng.tls_config_ca_chain(tls->config, options->ca, NULL);
    }
    if (rv == 0 && options->cert != NULL) {
        rv = nng.tls_config_own_cert(tls->config, options->cert, options->key,
                                     options->key_password);
    }
    if (rv == 0) {
        rv = nng.tls_config_auth_mode(
            tls->config, options->verify_peer ? NNG_TLS_AUTH_REQUIRED : NNG_TLS_AUTH_NONE);
    }
    return status_of(rv);
}

int
nmq_tls_new_client(const nmq_tls_client_options *options, nmq_tls **out)
{
    nmq_tls *tls = NULL;

    if (options->server_name == NULL || (options->verify_peer && options->ca == NULL) ||
        (options->cert != NULL && options->key == NULL)) {
        return NMQ_EINVAL;
    }
    int rv = make(NNG_TLS_MODE_CLIENT, &tls);
    if (rv == NMQ_OK) {
        rv = fill_client(tls, options);
    }
    if (rv != NMQ_OK) {
        nmq_tls_free(tls);
        return rv;
    }
    *out = tls;
    return NMQ_OK;
}

void
nmq_tls_free(nmq_tls *tls)
{
    if (tls != NULL && tls->config != NULL) {
        nng.tls_config_free(tls->config);
    }
    nmq_free(tls);
}

int
nmq_tls_guard(void)
{
    int rv = nmq_tls_library_find();

    if (rv == NMQ_OK) {
        rv = nmq_tls_guard_begin();
    }
    if (rv == NMQ_OK) {
        nmq_tls_config_begin();
        nmq_tls_peer_begin();
        nmq_tls_psk_begin();
    }
    return rv;
}
