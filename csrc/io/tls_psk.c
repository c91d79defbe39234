#include "io/tls_psk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/mbed.h"
#include "io/tls_library.h"

typedef int find_fn(void *arg, void *ssl, const unsigned char *identity, size_t len);

// The library's own functions.
static struct {
    void (*conf_psk_cb)(void *config, find_fn *find, void *arg);
    int (*set_hs_psk)(void *ssl, const unsigned char *key, size_t len);
    void (*conf_modes)(void *config, int modes); // of TLS 1.3
} mbed;

typedef struct {
    nmq_bytes identity; // with a NUL behind it
    nmq_bytes key;
} entry;

typedef struct {
    size_t bytes; // of all this, texts and keys behind the entries too
    size_t count;
    entry entries[]; // by identity
} table;

// Whose key a handshake uses.
typedef struct use {
    struct use *next;
    const void *ssl;
    const void *stream;
    const entry *of; // the context holds its configuration, which holds this
} use;

enum { BUCKETS = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static use *uses[BUCKETS]; // lock; by stream

static int
compare(const void *a, const void *b)
{
    const nmq_bytes *x = &((const entry *) a)->identity,
                    *y = &((const entry *) b)->identity;
    int order = memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

// The stream of a context: io/tls_guard.h says how that is known.
static const void *
stream_of(const void *ssl)
{
    return ((void *const *) ssl)[-1];
}

// Where the use of that stream's context stands, or would. Call with the lock.
static use **
place_of(const void *stream)
{
    use **at = &uses[((uintptr_t) stream >> 6) % BUCKETS];

    while (*at != NULL && (*at)->stream != stream) {
        at = &(*at)->next;
    }
    return at;
}

// A client that is told to say hello again may name another key then.
static bool
note(const void *ssl, const entry *of)
{
    (void) pthread_mutex_lock(&lock);
    use **at = place_of(stream_of(ssl));
    if (*at == NULL) {
        *at = nmq_zalloc(sizeof **at);
    }
    use *u = *at;
    if (u != NULL) {
        *u = (use){.next = u->next, .ssl = ssl, .stream = stream_of(ssl), .of = of};
    }
    (void) pthread_mutex_unlock(&lock);
    return u != NULL;
}

static int
find(void *arg, void *ssl, const unsigned char *identity, size_t len)
{
    const table *t = arg;
    const entry wanted = {.identity = {identity, len}};
    const entry *e = bsearch(&wanted, t->entries, t->count, sizeof *t->entries, compare);

    return e == NULL || !note(ssl, e) ? NMQ_MBED_UNKNOWN_IDENTITY
                                      : mbed.set_hs_psk(ssl, e->key.at, e->key.len);
}

static void
table_free(void *arg)
{
    table *t = arg;

    explicit_bzero(t, t->bytes);
    nmq_free(t);
}

static table *
table_new(const nmq_tls_psk *keys, size_t count)
{
    size_t bytes = sizeof(table) + count * sizeof(entry);

    for (size_t i = 0; i < count; i++) {
        bytes += strlen(keys[i].identity) + 1 + keys[i].key_bytes;
    }
    table *t = nmq_zalloc(bytes);
    if (t == NULL) {
        return NULL;
    }
    *t = (table){.bytes = bytes, .count = count};
    uint8_t *at = (uint8_t *) &t->entries[count];
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(keys[i].identity);
        memcpy(at, keys[i].identity, len);
        memcpy(at + len + 1, keys[i].key, keys[i].key_bytes);
        t->entries[i] = (entry){{at, len}, {at + len + 1, keys[i].key_bytes}};
        at += len + 1 + keys[i].key_bytes;
    }
    qsort(t->entries, count, sizeof *t->entries, compare);
    return t;
}

void
nmq_tls_psk_begin(void)
{
    mbed.conf_psk_cb = (void (*)(void *, find_fn *, void *)) nmq_tls_library_get(
        "mbedtls_ssl_conf_psk_cb");
    mbed.set_hs_psk = (int (*)(void *, const unsigned char *, size_t)) nmq_tls_library_get(
        "mbedtls_ssl_set_hs_psk");
    mbed.conf_modes = (void (*)(void *, int)) nmq_tls_library_get(
        "mbedtls_ssl_conf_tls13_key_exchange_modes");
}

bool
nmq_tls_psk_is_possible(void)
{
    return mbed.conf_psk_cb != NULL && mbed.set_hs_psk != NULL && mbed.conf_modes != NULL;
}

int
nmq_tls_psk_set(const nmq_tls *tls, const nmq_tls_psk *keys, size_t count)
{
    if (!nmq_tls_psk_is_possible() || tls->mbed == NULL) {
        return NMQ_ENOENT;
    }
    table *t = table_new(keys, count);
    if (t == NULL) {
        return NMQ_ENOMEM;
    }
    if (nmq_tls_config_keep(tls, t, table_free) != NMQ_OK) {
        table_free(t);
        return NMQ_ENOMEM;
    }
    mbed.conf_psk_cb(tls->mbed, find, t);
    mbed.conf_modes(tls->mbed, NMQ_MBED_PSK_MODES);
    return NMQ_OK;
}

int
nmq_tls_psk_identity(const void *stream, char *to, size_t cap)
{
    (void) pthread_mutex_lock(&lock);
    const use *u = *place_of(stream);
    if (u != NULL) {
        (void) snprintf(to, cap, "%s", (const char *) u->of->identity.at);
    }
    (void) pthread_mutex_unlock(&lock);
    return u != NULL ? NMQ_OK : NMQ_ENOENT;
}

void
nmq_tls_psk_forget(const void *ssl)
{
    (void) pthread_mutex_lock(&lock);
    use **at = place_of(stream_of(ssl));
    use *u = *at;
    if (u != NULL && u->ssl == ssl) {
        *at = u->next;
        nmq_free(u);
    }
    (void) pthread_mutex_unlock(&lock);
}
