#include "io/tls_refusal.h"

#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/mbed.h"

typedef struct entry {
    struct entry *next;
    nmq_tls_failure why;
    bool told;
} entry;

enum { BUCKETS = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *failures[BUCKETS]; // lock; by context

static const struct {
    uint32_t bad;
    uint8_t alert;
    const char *why;
} certificate_faults[] = {
    {NMQ_BAD_MISSING, NMQ_ALERT_HANDSHAKE_FAILURE, "it showed no certificate"},
    {NMQ_BAD_NOT_TRUSTED, NMQ_ALERT_UNKNOWN_CA, "no known CA has signed its certificate"},
    {NMQ_BAD_EXPIRED, NMQ_ALERT_CERTIFICATE_EXPIRED, "its certificate has expired"},
    {NMQ_BAD_NAME, NMQ_ALERT_CERTIFICATE_UNKNOWN, "its certificate is for another name"},
    {NMQ_BAD_FUTURE, NMQ_ALERT_CERTIFICATE_UNKNOWN, "its certificate is not valid yet"},
    {NMQ_BAD_REVOKED, NMQ_ALERT_CERTIFICATE_REVOKED, "its certificate was revoked"},
    {NMQ_BAD_LIST, NMQ_ALERT_CERTIFICATE_UNKNOWN,
     "the list of what its CA has revoked (crlfile) is not valid now"},
    {NMQ_BAD_USE, NMQ_ALERT_UNSUPPORTED_CERTIFICATE, "its certificate is for another use"},
    {UINT32_MAX, NMQ_ALERT_CERTIFICATE_UNKNOWN, "its certificate is not accepted"},
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

uint8_t
nmq_tls_refusal_alert(uint32_t bad)
{
    return certificate_faults[fault_of(bad)].alert;
}

// Where the failure of that context stands, or would. Call with the lock.
static entry **
place_of(const void *ssl)
{
    entry **at = &failures[((uintptr_t) ssl >> 6) % BUCKETS];

    while (*at != NULL && (*at)->why.ssl != ssl) {
        at = &(*at)->next;
    }
    return at;
}

bool
nmq_tls_refusal_note(const nmq_tls_failure *failure)
{
    entry *e = nmq_zalloc(sizeof *e);

    if (e == NULL) {
        return false;
    }
    e->why = *failure;
    (void) pthread_mutex_lock(&lock);
    *place_of(failure->ssl) = e;
    (void) pthread_mutex_unlock(&lock);
    return true;
}

int
nmq_tls_refusal_error(const void *ssl)
{
    (void) pthread_mutex_lock(&lock);
    const entry *e = *place_of(ssl);
    int error = e != NULL ? e->why.error : 0;
    (void) pthread_mutex_unlock(&lock);
    return error;
}

void
nmq_tls_refusal_forget(const void *ssl)
{
    (void) pthread_mutex_lock(&lock);
    entry **at = place_of(ssl);
    entry *e = *at;
    if (e != NULL) {
        *at = e->next;
    }
    (void) pthread_mutex_unlock(&lock);
    nmq_free(e);
}

static const char *
text_of(int error)
{
    switch (error) {
    case NMQ_MBED_UNKNOWN_IDENTITY: return "nobody has that pre-shared key (psk_file)";
    case NMQ_MBED_BAD_VERSION: return "its version of TLS is not spoken here";
    case NMQ_MBED_NOTHING_IN_COMMON: return "no cipher or curve in common";
    case NMQ_MBED_BAD_RECORD:
    case NMQ_MBED_UNEXPECTED_MESSAGE: return "what it sent is not TLS";
    case NMQ_MBED_BAD_MAC: return "a record was changed on its way";
    case NMQ_MBED_FATAL_ALERT: return "it broke off with an alert";
    default: return NULL;
    }
}

static void
write_reason(const nmq_tls_failure *f, char *to, size_t cap)
{
    uint32_t bad = f->bad == UINT32_MAX ? 0 : f->bad & ~(uint32_t) NMQ_BAD_UNASKED;
    bool is_certificate =
        f->error == NMQ_MBED_VERIFY_FAILED || (bad & NMQ_BAD_MISSING) != 0;
    const char *why = is_certificate && bad != 0 ? certificate_faults[fault_of(bad)].why
                                                 : text_of(f->error);

    if (why != NULL) {
        (void) snprintf(to, cap, "%s", why);
    } else {
        (void) snprintf(to, cap, "error 0x%04x of Mbed TLS", (unsigned) -f->error);
    }
}

int
nmq_tls_refusal_text(const void *stream, char *to, size_t cap)
{
    int rv = NMQ_ENOENT;

    (void) pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (entry *e = failures[i]; e != NULL; e = e->next) {
            if (e->why.stream == stream && !e->told) {
                write_reason(&e->why, to, cap);
                e->told = true;
                rv = NMQ_OK;
            }
        }
    }
    (void) pthread_mutex_unlock(&lock);
    return rv;
}
