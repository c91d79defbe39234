#include "io/tls_guard.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/tls_library.h"
#include "nmq.h"

// Mbed TLS's own numbers.
enum {
    IS_SERVER = 1,
    ALERT_FATAL = 2,
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_NO_CERTIFICATE = 41, // of SSL 3.0 alone
    ALERT_UNSUPPORTED_CERTIFICATE = 43,
    ALERT_CERTIFICATE_REVOKED = 44,
    ALERT_CERTIFICATE_EXPIRED = 45,
    ALERT_CERTIFICATE_UNKNOWN = 46,
    ALERT_UNKNOWN_CA = 48,
    ALERT_ACCESS_DENIED = 49,
    ALERT_CERTIFICATE_REQUIRED = 116,
    BAD_EXPIRED = 0x01,
    BAD_REVOKED = 0x02,
    BAD_NOT_TRUSTED = 0x08,
    BAD_MISSING = 0x40,
    BAD_UNASKED = 0x80,
    BAD_FUTURE = 0x0200,
    BAD_USE = 0x3800, // of its key
    WANT_READ = -0x6900,
    WANT_WRITE = -0x6880,
    GONE_EOF = -0x7280,
    GONE_CLOSED = -0x7880,
    GONE_RECV = -0x004c,
    GONE_SEND = -0x004e,
    VERIFY_FAILED = -0x2700,
    NO_CERTIFICATE = -0x7480,
    FATAL_ALERT = -0x7780,
    BAD_VERSION = -0x6e80,
    NOTHING_IN_COMMON = -0x6e00,
    BAD_RECORD = -0x7200,
    UNEXPECTED_MESSAGE = -0x7700,
    BAD_MAC = -0x7180,
};

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
    int (*config_defaults)(void *config, int endpoint, int transport, int preset);
    void (*config_free)(void *config);
    void (*conf_suites)(void *config, const int *suites);
    const void *(*suite_of)(int number);
    void (*conf_verify)(void *config, verify_fn *check, void *arg);
} mbed;

// A handshake that has failed. It is known until its context is released: nng may come
// again late, and a context that has failed must not be used.
typedef struct failure {
    struct failure *next;
    const void *ssl;
    const void *stream;
    int error;
    uint32_t bad;
    bool told;
} failure;

typedef struct suite_list {
    struct suite_list *next;
    const void *config;
    int suites[]; // ends with 0
} suite_list;

enum { BUCKETS = 256 };

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static failure *failures[BUCKETS]; // one_at_a_time; by context
static void *new_keys;             // one_at_a_time: of the handshake under way
static bool alerted;               // one_at_a_time: it has sent an alert
static uint32_t bad_found;         // one_at_a_time: in the certificates that it was shown
static suite_list *suite_lists;    // one_at_a_time
static bool knows_streams;         // atomic: see set_bio
static bool guarded;
static _Thread_local void *newest_config;

// --- certificates

static const struct {
    uint32_t bad;
    uint8_t alert;
    const char *why;
} certificate_faults[] = {
    {BAD_MISSING, ALERT_HANDSHAKE_FAILURE, "it showed no certificate"},
    {BAD_NOT_TRUSTED, ALERT_UNKNOWN_CA, "no known CA stands for its certificate"},
    {BAD_EXPIRED, ALERT_CERTIFICATE_EXPIRED, "its certificate has expired"},
    {BAD_FUTURE, ALERT_CERTIFICATE_UNKNOWN, "its certificate is not valid yet"},
    {BAD_REVOKED, ALERT_CERTIFICATE_REVOKED, "its certificate was revoked"},
    {BAD_USE, ALERT_UNSUPPORTED_CERTIFICATE, "its certificate is for another use"},
    {UINT32_MAX, ALERT_CERTIFICATE_UNKNOWN, "its certificate is not accepted"},
};

// The first fault that the result of a check names; there is one for any but 0.
static size_t
fault_of(uint32_t bad)
{
    size_t i = 0;

    while ((certificate_faults[i].bad & bad) == 0) {
        i++;
    }
    return i;
}

// Where a certificate need not be shown, Mbed TLS lets a bad one pass too. It asks this for
// each of the chain, the client's own last: what is not 0 ends the handshake.
static int
check_certificate(void *arg, void *certificate, int depth, uint32_t *bad)
{
    (void) arg;
    (void) certificate;
    bad_found |= *bad;
    return depth == 0 && bad_found != 0 ? VERIFY_FAILED : 0;
}

void
nmq_tls_refuse_bad(void)
{
    if (guarded && mbed.conf_verify != NULL && newest_config != NULL) {
        mbed.conf_verify(newest_config, check_certificate, NULL);
    }
}

// --- the handshake

// Where the failure of that context stands, or would.
static failure **
place_of(const void *ssl)
{
    failure **at = &failures[((uintptr_t) ssl >> 6) % BUCKETS];

    while (*at != NULL && (*at)->ssl != ssl) {
        at = &(*at)->next;
    }
    return at;
}

// Returns whether it is kept.
static bool
note_failure(const void *ssl, int error)
{
    if (error == GONE_EOF || error == GONE_CLOSED || error == GONE_RECV ||
        error == GONE_SEND || !__atomic_load_n(&knows_streams, __ATOMIC_RELAXED)) {
        return false;
    }
    failure *f = nmq_zalloc(sizeof *f);
    if (f == NULL) {
        return false;
    }
    *f = (failure){
        .ssl = ssl,
        .stream = ((void *const *) ssl)[-1],
        .error = bad_found != 0 ? VERIFY_FAILED : error,
        .bad = bad_found != 0 ? bad_found : mbed.verify_result(ssl),
    };
    *place_of(ssl) = f;
    return true;
}

// nng closes the socket as soon as a handshake has failed, and the alert may still wait
// behind what is being sent. So the failure is told when nng comes again, after a send.
static int
go_on(void *ssl)
{
    const failure *before = *place_of(ssl);

    if (before != NULL) {
        return before->error;
    }
    alerted = false;
    bad_found = 0;
    int rv = mbed.handshake(ssl);
    if (rv == NO_CERTIFICATE && !alerted) { // TLS 1.2 says nothing (RFC 5246, 7.4.6)
        alerted = mbed.send_alert(ssl, ALERT_FATAL, ALERT_HANDSHAKE_FAILURE) == 0;
    }
    if (rv != 0 && rv != WANT_READ && rv != WANT_WRITE && note_failure(ssl, rv)) {
        rv = alerted ? WANT_WRITE : rv;
    }
    return rv;
}

static int
handshake(void *ssl)
{
    (void) pthread_mutex_lock(&one_at_a_time);
    int rv = go_on(ssl);
    (void) pthread_mutex_unlock(&one_at_a_time);
    return rv;
}

// One that was not finished gives its keys back.
static void
release(void *ssl)
{
    (void) pthread_mutex_lock(&one_at_a_time);
    failure **at = place_of(ssl);
    failure *failed = *at;
    if (failed != NULL) {
        *at = failed->next;
        nmq_free(failed);
    }
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
    if (message == ALERT_NO_CERTIFICATE) {
        message = ALERT_CERTIFICATE_REQUIRED;
    } else if (message == ALERT_ACCESS_DENIED && bad_found != 0) {
        message = certificate_faults[fault_of(bad_found)].alert;
    }
    int rv = mbed.send_alert(ssl, level, message);
    alerted = rv == 0; // else nothing is sent that nng would come again for
    return rv;
}

static int
populate(void *keys, int endpoint, int suite, const void *from, void *ssl)
{
    int rv = mbed.populate(keys, endpoint, suite, from, ssl);

    new_keys = rv == 0 && endpoint == IS_SERVER ? keys : NULL;
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

static const char *
text_of(int error)
{
    switch (error) {
    case BAD_VERSION: return "its version of TLS is not spoken here";
    case NOTHING_IN_COMMON: return "no cipher or curve in common";
    case BAD_RECORD:
    case UNEXPECTED_MESSAGE: return "what it sent is not TLS";
    case BAD_MAC: return "a record was changed on its way";
    case FATAL_ALERT: return "it broke off with an alert";
    default: return NULL;
    }
}

// Call with the lock.
static void
write_reason(const failure *f, char *to, size_t cap)
{
    uint32_t bad = f->bad == UINT32_MAX ? 0 : f->bad & ~(uint32_t) BAD_UNASKED;
    bool is_certificate = f->error == VERIFY_FAILED || (bad & BAD_MISSING) != 0;
    const char *why = is_certificate && bad != 0 ? certificate_faults[fault_of(bad)].why
                                                 : text_of(f->error);

    if (why != NULL) {
        (void) snprintf(to, cap, "%s", why);
    } else {
        (void) snprintf(to, cap, "error 0x%04x of Mbed TLS", (unsigned) -f->error);
    }
}

int
nmq_tls_refusal(const void *stream, char *to, size_t cap)
{
    int rv = NMQ_ENOENT;

    (void) pthread_mutex_lock(&one_at_a_time);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (failure *f = failures[i]; f != NULL; f = f->next) {
            if (f->stream == stream && !f->told) {
                write_reason(f, to, cap);
                f->told = true;
                rv = NMQ_OK;
            }
        }
    }
    (void) pthread_mutex_unlock(&one_at_a_time);
    return rv;
}

// --- cipher suites

static int
config_defaults(void *config, int endpoint, int transport, int preset)
{
    newest_config = config;
    return mbed.config_defaults(config, endpoint, transport, preset);
}

// Mbed TLS keeps no copy of the list.
static void
config_free(void *config)
{
    mbed.config_free(config);
    (void) pthread_mutex_lock(&one_at_a_time);
    for (suite_list **at = &suite_lists; *at != NULL;) {
        suite_list *list = *at;
        if (list->config == config) {
            *at = list->next;
            nmq_free(list);
        } else {
            at = &list->next;
        }
    }
    (void) pthread_mutex_unlock(&one_at_a_time);
}

bool
nmq_tls_takes_ciphers(void)
{
    return guarded && mbed.config_defaults != NULL && mbed.config_free != NULL &&
           mbed.conf_suites != NULL && mbed.suite_of != NULL;
}

bool
nmq_tls_has_cipher(uint16_t suite)
{
    return nmq_tls_takes_ciphers() && mbed.suite_of(suite) != NULL;
}

int
nmq_tls_set_ciphers(const uint16_t *suites, size_t count)
{
    size_t known = 0;

    if (!nmq_tls_takes_ciphers() || newest_config == NULL) {
        return NMQ_ENOENT;
    }
    suite_list *list = nmq_zalloc(sizeof *list + (count + 1) * sizeof *list->suites);
    if (list == NULL) {
        return NMQ_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (mbed.suite_of(suites[i]) != NULL) {
            list->suites[known++] = suites[i];
        }
    }
    list->config = newest_config;
    (void) pthread_mutex_lock(&one_at_a_time);
    list->next = suite_lists;
    suite_lists = list;
    (void) pthread_mutex_unlock(&one_at_a_time);
    mbed.conf_suites(newest_config, list->suites);
    return NMQ_OK;
}

// --- between nng and the library

// Sets *own to the function's address, and has its callers call `instead`. The address
// first: nobody calls yet, but the table must never lead nowhere.
static bool
hook(const char *name, void *own, uintptr_t instead)
{
    uintptr_t at = nmq_tls_library_redirect(name, instead);

    memcpy(own, &at, sizeof at); // all of them are function pointers
    return at != 0;
}

static void
hook_alerts(void)
{
    mbed.set_outbound = (void (*)(void *, void *)) nmq_tls_library_get(
        "mbedtls_ssl_set_outbound_transform");
    if (mbed.set_outbound != NULL && hook("mbedtls_ssl_tls13_populate_transform",
                                          &mbed.populate, (uintptr_t) populate)) {
        (void) hook("mbedtls_ssl_tls13_compute_application_transform",
                    &mbed.application_keys, (uintptr_t) application_keys);
    }
}

static void
hook_ciphers(void)
{
    mbed.conf_suites = (void (*)(void *, const int *)) nmq_tls_library_get(
        "mbedtls_ssl_conf_ciphersuites");
    mbed.suite_of =
        (const void *(*)(int) ) nmq_tls_library_get("mbedtls_ssl_ciphersuite_from_id");
    (void) hook("mbedtls_ssl_config_defaults", &mbed.config_defaults,
                (uintptr_t) config_defaults);
    (void) hook("mbedtls_ssl_config_free", &mbed.config_free, (uintptr_t) config_free);
}

int
nmq_tls_guard(void)
{
    if (nmq_tls_library_find() != NMQ_OK) {
        return NMQ_ENOENT;
    }
    mbed.verify_result =
        (uint32_t (*)(const void *)) nmq_tls_library_get("mbedtls_ssl_get_verify_result");
    guarded =
        mbed.verify_result != NULL &&
        hook("mbedtls_ssl_send_alert_message", &mbed.send_alert, (uintptr_t) send_alert) &&
        hook("mbedtls_ssl_free", &mbed.release, (uintptr_t) release) &&
        hook("mbedtls_ssl_handshake", &mbed.handshake, (uintptr_t) handshake);
    mbed.conf_verify = (void (*)(void *, verify_fn *, void *)) nmq_tls_library_get(
        "mbedtls_ssl_conf_verify");
    if (guarded) {
        (void) hook("mbedtls_ssl_set_bio", &mbed.set_bio, (uintptr_t) set_bio);
        hook_alerts();
        hook_ciphers();
    }
    return guarded ? NMQ_OK : NMQ_ENOENT;
}

bool
nmq_tls_is_guarded(void)
{
    return guarded;
}
