// nng.h - the functions of nng that the core calls, handed in by name from pynng's copy.
//
// Types and numbers are nng 1.11's own, as far as they are used here. They appear in the
// files that include this one, and nowhere else.
//
// Threads  fixed once bound.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nng_aio nng_aio;
typedef struct nng_stream nng_stream;
typedef struct nng_stream_listener nng_stream_listener;
typedef struct nng_stream_dialer nng_stream_dialer;
typedef struct nng_tls_config nng_tls_config;

typedef struct {
    void *iov_buf;
    size_t iov_len;
} nng_iov;

typedef union {
    uint16_t s_family;
    struct {
        uint16_t sa_family;
        uint16_t sa_port; // network order
        uint32_t sa_addr; // network order
    } s_in;
    struct {
        uint16_t sa_family;
        uint16_t sa_port;
        uint8_t sa_addr[16];
        uint32_t sa_scope;
    } s_in6;
    uint8_t room[256]; // at least as large as nng's union
} nng_sockaddr;

enum {
    NNG_ENOMEM = 2,
    NNG_ETIMEDOUT = 5,
    NNG_ECONNREFUSED = 6,
    NNG_EADDRINUSE = 10,
    NNG_EADDRINVAL = 15,
    NNG_EPERM = 16,
    NNG_ECANCELED = 20,
    NNG_ENOFILES = 21,
    NNG_ECRYPTO = 26,
};
enum { NNG_AF_INET = 3, NNG_AF_INET6 = 4 };
enum { NNG_TLS_MODE_CLIENT = 0, NNG_TLS_MODE_SERVER = 1 };
enum { NNG_TLS_AUTH_NONE = 0, NNG_TLS_AUTH_OPTIONAL = 1, NNG_TLS_AUTH_REQUIRED = 2 };
enum { NNG_TLS_1_2 = 0x303, NNG_TLS_1_3 = 0x304 };
enum {
    NNG_INIT_NUM_TASK_THREADS = 1,
    NNG_INIT_NUM_EXPIRE_THREADS = 2,
    NNG_INIT_NUM_POLLER_THREADS = 3,
    NNG_INIT_NUM_RESOLVER_THREADS = 4,
    NNG_INIT_MAX_TASK_THREADS = 5,
};

// The table of functions: one line each, in the order of nmq_engine_name.
#define NNG_FUNCTIONS(X)                                                                   \
    X(void, init_set_parameter, (int, uint64_t) )                                          \
    X(void, strfree, (char *) )                                                            \
    X(int, aio_alloc, (nng_aio **, void (*)(void *), void *) )                             \
    X(void, aio_free, (nng_aio *) )                                                        \
    X(void, aio_reap, (nng_aio *) )                                                        \
    X(void, aio_cancel, (nng_aio *) )                                                      \
    X(void, aio_wait, (nng_aio *) )                                                        \
    X(int, aio_result, (nng_aio *) )                                                       \
    X(size_t, aio_count, (nng_aio *) )                                                     \
    X(int, aio_set_iov, (nng_aio *, unsigned, const nng_iov *) )                           \
    X(void *, aio_get_output, (nng_aio *, unsigned) )                                      \
    X(void, sleep_aio, (int32_t, nng_aio *) )                                              \
    X(void, stream_recv, (nng_stream *, nng_aio *) )                                       \
    X(void, stream_send, (nng_stream *, nng_aio *) )                                       \
    X(void, stream_close, (nng_stream *) )                                                 \
    X(void, stream_free, (nng_stream *) )                                                  \
    X(int, stream_get_addr, (nng_stream *, const char *, nng_sockaddr *) )                 \
    X(int, stream_get_bool, (nng_stream *, const char *, bool *) )                         \
    X(int, stream_get_string, (nng_stream *, const char *, char **) )                      \
    X(int, stream_listener_alloc, (nng_stream_listener **, const char *) )                 \
    X(int, stream_listener_listen, (nng_stream_listener *) )                               \
    X(void, stream_listener_accept, (nng_stream_listener *, nng_aio *) )                   \
    X(void, stream_listener_close, (nng_stream_listener *) )                               \
    X(void, stream_listener_free, (nng_stream_listener *) )                                \
    X(int, stream_listener_get_int, (nng_stream_listener *, const char *, int *) )         \
    X(int, stream_listener_set_int, (nng_stream_listener *, const char *, int) )           \
    X(int, stream_listener_set_bool, (nng_stream_listener *, const char *, bool) )         \
    X(int, stream_listener_set_ptr, (nng_stream_listener *, const char *, void *) )        \
    X(int, stream_dialer_alloc, (nng_stream_dialer **, const char *) )                     \
    X(void, stream_dialer_dial, (nng_stream_dialer *, nng_aio *) )                         \
    X(void, stream_dialer_free, (nng_stream_dialer *) )                                    \
    X(int, stream_dialer_set_bool, (nng_stream_dialer *, const char *, bool) )             \
    X(int, stream_dialer_set_ptr, (nng_stream_dialer *, const char *, void *) )            \
    X(const char *, strerror, (int) )                                                      \
    X(int, tls_config_alloc, (nng_tls_config **, int) )                                    \
    X(void, tls_config_hold, (nng_tls_config *) )                                          \
    X(int, tls_config_server_name, (nng_tls_config *, const char *) )                      \
    X(void, tls_config_free, (nng_tls_config *) )                                          \
    X(int, tls_config_own_cert,                                                            \
      (nng_tls_config *, const char *, const char *, const char *) )                       \
    X(int, tls_config_ca_chain, (nng_tls_config *, const char *, const char *) )           \
    X(int, tls_config_auth_mode, (nng_tls_config *, int) )                                 \
    X(int, tls_config_version, (nng_tls_config *, int, int) )                              \
    X(const char *, tls_engine_description, (void) )

#define NNG_DECLARE(result, name, args) result(*name) args;

typedef struct {
    NNG_FUNCTIONS(NNG_DECLARE)
} nmq_nng_table;

extern nmq_nng_table nng;

// The nmq_status of an nng error.
int nmq_nng_status(int rv);
