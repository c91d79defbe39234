#include "io/tls_guard.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "io/mbed.h"
#include "io/tls_library.h"
#include "io/tls_psk.h"
#include "io/tls_refusal.h"

typedef int verify_fn(void *arg, void *certificate, int depth, uint32_t *bad);

// The library's own functions.
static struct {
    int (*handshake)(void *ssl);
    void (*release)(void *ssl);
    void (*set_bio)(void *ssl, void *bio, void *send, void *recv, void *recv_timeout);
    int (*send_alert)(void *ssl, unsigned char level, unsigned char message);
    int (*application_keys)(void *ssl);
    int (*populate)(void *keys, int endpoint, int suite, const void *from, void *ssl);
    void (*set_outbound)(void *ssl, void *keys);
    uint32_t (*verify_result)(const void *ssl);
    void (*conf_verify)(void *config, verify_fn *check, void *arg);
} mbed;

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static void *new_keys;     // one_at_a_time: of the handshake under way
static bool alerted;       // one_at_a_time: it has sent an alert
static uint32_t bad_found; // one_at_a_time: in the certificates that it was shown
static bool knows_streams; // atomic: see set_bio
static bool guarded;
static nmq_tls_waiter *waiters; // one_at_a_time: few, if any

// Where a certificate need not be shown, Mbed TLS lets a bad one pass too. It calls this
// for each one of the chain, the client's own last; a result that is not 0 ends the
// handshake.
static int
check_certificate(void *arg, void *certificate, int depth, uint32_t *bad)
{
    (void) arg;
    (void) certificate;
    bad_found |= *bad;
    return depth == 0 && bad_found != 0 ? NMQ_MBED_VERIFY_FAILED : 0;
}

void
nmq_tls_guard_refuse_bad(void *config)
{
    if (guarded && mbed.conf_verify != NULL && config != NULL) {
        mbed.conf_verify(config, check_certificate, NULL);
    }
}

static bool
is_gone(int error)
{
    return error == NMQ_MBED_GONE_EOF || error == NMQ_MBED_GONE_CLOSED ||
           error == NMQ_MBED_GONE_RECV || error == NMQ_MBED_GONE_SEND;
}

// Returns whether it is kept.
static bool
note_failure(const void *ssl, int error)
{
    if (is_gone(error) || !__atomic_load_n(&knows_streams, __ATOMIC_RELAXED)) {
        return false;
    }
    return nmq_tls_refusal_note(&(nmq_tls_failure){
        .ssl = ssl,
        .stream = ((void *const *) ssl)[-1],
        .error = bad_found != 0 ? NMQ_MBED_VERIFY_FAILED : error,
        .bad = bad_found != 0 ? bad_found : mbed.verify_result(ssl),
    });
}

// nng closes the socket as soon as a handshake has failed, and the alert may still wait
// behind what is being sent. So the failure is told when nng comes again, after a send.
static int
go_on(void *ssl)
{
    int before = nmq_tls_refusal_error(ssl);

    if (before != 0) {
        return before;
    }
    alerted = false;
    bad_found = 0;
    int rv = mbed.handshake(ssl);
    // TLS 1.2 says nothing of its own (RFC 5246, 7.4.6).
    if (rv == NMQ_MBED_NO_CERTIFICATE && !alerted) {
        alerted = mbed.send_alert(ssl, NMQ_ALERT_FATAL, NMQ_ALERT_HANDSHAKE_FAILURE) == 0;
    }
    if (rv != 0 && rv != NMQ_MBED_WANT_READ && rv != NMQ_MBED_WANT_WRITE &&
        note_failure(ssl, rv)) {
        rv = alerted ? NMQ_MBED_WANT_WRITE : rv;
    }
    return rv;
}

// Where the waiter of that stream stands, or would. Call with one_at_a_time.
static nmq_tls_waiter **
place_of(const void *stream)
{
    nmq_tls_waiter **at = &waiters;

    while (*at != NULL && (*at)->stream != stream) {
        at = &(*at)->next;
    }
    return at;
}

// The handshake of that stream went well.
static void
tell_waiter(const void *stream)
{
    nmq_tls_waiter **at = place_of(stream);
    nmq_tls_waiter *waiter = *at;

    if (waiter != NULL) {
        *at = waiter->next;
        waiter->shaken(waiter);
    }
}

bool
nmq_tls_guard_wait(nmq_tls_waiter *waiter)
{
    if (!guarded || !__atomic_load_n(&knows_streams, __ATOMIC_RELAXED)) {
        return false;
    }
    (void) pthread_mutex_lock(&one_at_a_time);
    waiter->next = waiters;
    waiters = waiter;
    (void) pthread_mutex_unlock(&one_at_a_time);
    return true;
}

void
nmq_tls_guard_forget(nmq_tls_waiter *waiter)
{
    (void) pthread_mutex_lock(&one_at_a_time);
    nmq_tls_waiter **at = place_of(waiter->stream);
    if (*at == waiter) {
        *at = waiter->next;
    }
    (void) pthread_mutex_unlock(&one_at_a_time);
}

static int
handshake(void *ssl)
{
    (void) pthread_mutex_lock(&one_at_a_time);
    int rv = go_on(ssl);
    if (rv == 0 && waiters != NULL) {
        tell_waiter(((void *const *) ssl)[-1]);
    }
    (void) pthread_mutex_unlock(&one_at_a_time);
    return rv;
}

// A handshake that was not finished gives its keys back.
static void
release(void *ssl)
{
    (void) pthread_mutex_lock(&one_at_a_time);
    nmq_tls_refusal_forget(ssl);
    nmq_tls_psk_forget(ssl);
    mbed.release(ssl);
    (void) pthread_mutex_unlock(&one_at_a_time);
}

// nng's stream is what it hands to Mbed TLS to send and receive with, and stands just
// before the context. Where it does not, handshakes fail without a reason in the log.
static void
set_bio(void *ssl, void *bio, void *send, void *recv, void *recv_timeout)
{
    __atomic_store_n(&knows_streams, ((void *const *) ssl)[-1] == bio, __ATOMIC_RELAXED);
    mbed.set_bio(ssl, bio, send, recv, recv_timeout);
}

static int
send_alert(void *ssl, unsigned char level, unsigned char message)
{
    if (message == NMQ_ALERT_NO_CERTIFICATE) {
        message = NMQ_ALERT_CERTIFICATE_REQUIRED;
    } else if (message == NMQ_ALERT_ACCESS_DENIED && bad_found != 0) {
        message = nmq_tls_refusal_alert(bad_found);
    }
    int rv = mbed.send_alert(ssl, level, message);
    alerted = rv == 0; // otherwise nng would not come again
    return rv;
}

static int
populate(void *keys, int endpoint, int suite, const void *from, void *ssl)
{
    int rv = mbed.populate(keys, endpoint, suite, from, ssl);

    new_keys = rv == 0 && endpoint == NMQ_MBED_IS_SERVER ? keys : NULL;
    return rv;
}

// The server has sent its Finished: from now on it speaks with these keys (RFC 8446, A.2),
// an alert about the client's certificate too.
static int
application_keys(void *ssl)
{
    new_keys = NULL;
    int rv = mbed.application_keys(ssl);
    if (rv == 0 && new_keys != NULL) {
        mbed.set_outbound(ssl, new_keys);
    }
    new_keys = NULL;
    return rv;
}

static bool
redirect_handshakes(void)
{
    return nmq_tls_library_redirect("mbedtls_ssl_send_alert_message",
                                    (uintptr_t) send_alert, &mbed.send_alert) &&
           nmq_tls_library_redirect("mbedtls_ssl_free", (uintptr_t) release,
                                    &mbed.release) &&
           nmq_tls_library_redirect("mbedtls_ssl_handshake", (uintptr_t) handshake,
                                    &mbed.handshake);
}

static void
redirect_alerts(void)
{
    mbed.set_outbound = (void (*)(void *, void *)) nmq_tls_library_get(
        "mbedtls_ssl_set_outbound_transform");
    if (mbed.set_outbound != NULL &&
        nmq_tls_library_redirect("mbedtls_ssl_tls13_populate_transform",
                                 (uintptr_t) populate, &mbed.populate)) {
        (void) nmq_tls_library_redirect("mbedtls_ssl_tls13_compute_application_transform",
                                        (uintptr_t) application_keys,
                                        &mbed.application_keys);
    }
}

int
nmq_tls_guard_begin(void)
{
    mbed.verify_result =
        (uint32_t (*)(const void *)) nmq_tls_library_get("mbedtls_ssl_get_verify_result");
    guarded = mbed.verify_result != NULL && redirect_handshakes();
    if (!guarded) {
        return NMQ_ENOENT;
    }
    mbed.conf_verify = (void (*)(void *, verify_fn *, void *)) nmq_tls_library_get(
        "mbedtls_ssl_conf_verify");
    (void) nmq_tls_library_redirect("mbedtls_ssl_set_bio", (uintptr_t) set_bio,
                                    &mbed.set_bio);
    redirect_alerts();
    return NMQ_OK;
}

bool
nmq_tls_guard_holds(void)
{
    return guarded;
}
