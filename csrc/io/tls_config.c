#include "io/tls_config.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/tls_library.h"

// The library's own functions.
static struct {
    int (*config_defaults)(void *config, int endpoint, int transport, int preset);
    void (*config_free)(void *config);
    void (*conf_suites)(void *config, const int *suites);
    const void *(*suite_of)(int number);
} mbed;

// Mbed TLS keeps no copy of what a configuration is given.
typedef struct given {
    struct given *next;
    const void *config;
    void *owned;
    void (*free)(void *owned);
} given;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static given *all_given; // lock

// nng keeps Mbed TLS's configuration to itself. It has it made within nng.tls_config_alloc,
// by the thread that calls that, and takes no argument that would come through; other
// threads may make others meanwhile. Hence a thread-local: only nmq_tls_config_init reads
// it.
static _Thread_local void *made_here;

static int
config_defaults(void *config, int endpoint, int transport, int preset)
{
    made_here = config;
    return mbed.config_defaults(config, endpoint, transport, preset);
}

int
nmq_tls_config_init(nmq_tls *tls, int mode)
{
    made_here = NULL;
    int rv = nng.tls_config_alloc(&tls->config, mode);
    tls->mbed = made_here;
    return nmq_nng_status(rv);
}

static void
config_free(void *config)
{
    mbed.config_free(config);
    (void) pthread_mutex_lock(&lock);
    for (given **at = &all_given; *at != NULL;) {
        given *g = *at;
        if (g->config == config) {
            *at = g->next;
            g->free(g->owned);
            nmq_free(g);
        } else {
            at = &g->next;
        }
    }
    (void) pthread_mutex_unlock(&lock);
}

int
nmq_tls_config_keep(const nmq_tls *tls, void *owned, void (*free)(void *owned))
{
    given *g = mbed.config_free != NULL ? nmq_zalloc(sizeof *g) : NULL;

    if (g == NULL) {
        return mbed.config_free != NULL ? NMQ_ENOMEM : NMQ_ENOENT;
    }
    *g = (given){.config = tls->mbed, .owned = owned, .free = free};
    (void) pthread_mutex_lock(&lock);
    g->next = all_given;
    all_given = g;
    (void) pthread_mutex_unlock(&lock);
    return NMQ_OK;
}

bool
nmq_tls_config_takes_ciphers(void)
{
    return mbed.config_defaults != NULL && mbed.config_free != NULL &&
           mbed.conf_suites != NULL && mbed.suite_of != NULL;
}

bool
nmq_tls_config_has_cipher(uint16_t suite)
{
    return nmq_tls_config_takes_ciphers() && mbed.suite_of(suite) != NULL;
}

int
nmq_tls_config_set_ciphers(const nmq_tls *tls, const uint16_t *suites, size_t count)
{
    size_t known = 0;

    if (!nmq_tls_config_takes_ciphers() || tls->mbed == NULL) {
        return NMQ_ENOENT;
    }
    int *list = nmq_zalloc((count + 1) * sizeof *list); // ends with 0
    if (list == NULL) {
        return NMQ_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (mbed.suite_of(suites[i]) != NULL) {
            list[known++] = suites[i];
        }
    }
    int rv = nmq_tls_config_keep(tls, list, nmq_free);
    if (rv != NMQ_OK) {
        nmq_free(list);
        return rv;
    }
    mbed.conf_suites(tls->mbed, list);
    return NMQ_OK;
}

void
nmq_tls_config_begin(void)
{
    mbed.conf_suites = (void (*)(void *, const int *)) nmq_tls_library_get(
        "mbedtls_ssl_conf_ciphersuites");
    mbed.suite_of =
        (const void *(*)(int) ) nmq_tls_library_get("mbedtls_ssl_ciphersuite_from_id");
    (void) nmq_tls_library_redirect("mbedtls_ssl_config_defaults",
                                    (uintptr_t) config_defaults, &mbed.config_defaults);
    (void) nmq_tls_library_redirect("mbedtls_ssl_config_free", (uintptr_t) config_free,
                                    &mbed.config_free);
}
