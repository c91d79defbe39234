#include "io/tls_peer.h"

#include <string.h>

#include "io/tls_library.h"

// As Mbed TLS's certificate begins.
typedef struct {
    int own_buffer;
    struct {
        int tag;
        size_t len;
        const uint8_t *at;
    } der;
} mbed_certificate;

static const mbed_certificate *(*mbed_peer_certificate)(const void *ssl);

// nng keeps the context of a stream to itself. It asks that context for the certificate
// within nng.stream_get_string, in the calling thread, and takes no argument that would
// come through. Hence a thread-local: only nmq_tls_peer_certificate reads it.
static _Thread_local const mbed_certificate *shown_here;

static const mbed_certificate *
peer_certificate(const void *ssl)
{
    shown_here = mbed_peer_certificate(ssl);
    return shown_here;
}

void
nmq_tls_peer_begin(void)
{
    (void) nmq_tls_library_redirect("mbedtls_ssl_get_peer_cert",
                                    (uintptr_t) peer_certificate, &mbed_peer_certificate);
}

bool
nmq_tls_peer_is_known(void)
{
    // The struct is that of this version. nng starts its threads when it is asked, which
    // must not be before the process has said which signals they leave alone.
    return mbed_peer_certificate != NULL &&
           strncmp(nng.tls_engine_description(), "Mbed TLS 3.6.", 13) == 0;
}

bool
nmq_tls_peer_certificate(nng_stream *stream, nmq_bytes *der)
{
    char *name = NULL;

    *der = (nmq_bytes){0};
    shown_here = NULL;
    if (nng.stream_get_string(stream, "tls-peer-cn", &name) != 0) {
        return false;
    }
    bool shown = shown_here != NULL || name != NULL;
    if (name != NULL) {
        nng.strfree(name);
    }
    if (shown_here != NULL && nmq_tls_peer_is_known()) {
        *der = (nmq_bytes){shown_here->der.at, shown_here->der.len};
    }
    return shown;
}
