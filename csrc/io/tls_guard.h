// tls_guard.h - corrects the handshakes of the Mbed TLS inside pynng.
//
// Handshakes go one at a time. The library is built without locks, and its TLS 1.3 keeps
// keys of a handshake in slots that all threads share: two handshakes at once can fail, or
// end the process (1 in 12,000 did, measured).
//
// The client can read the alert that refuses its certificate. In TLS 1.3, version 3.6 sends
// that alert with the keys of the handshake, although the client already reads with those
// of the application.
//
// A bad certificate is refused also where none is required: nng lets it pass.
//
// Why a handshake failed is noted (io/tls_refusal.h).
//
// Threads  thread-safe, after nmq_tls_guard_begin.
// Source   Mbed TLS 3.6, MBEDTLS_THREADING_C and ssl_tls13_server.c; RFC 8446, 7.3 and
//          appendix A.2
#pragma once
#include <stdbool.h>

// Puts itself between nng and the library (io/tls_library.h, which has found it). Once,
// before its first use. Returns NMQ_OK, or NMQ_ENOENT when the calls cannot be reached.
int nmq_tls_guard_begin(void);

// Who waits for the end of a handshake that goes well; one that fails shows in the stream.
// The function may only hand the news on: nng and the guard hold locks meanwhile.
typedef struct nmq_tls_waiter {
    struct nmq_tls_waiter *next;
    const void *stream; // of nng
    void (*shaken)(struct nmq_tls_waiter *waiter);
} nmq_tls_waiter;

// Has shaken called once, or never if the handshake fails; before the handshake begins. No
// guard, or streams cannot be told apart: returns false, and it is not called. Call
// without a lock.
bool nmq_tls_guard_wait(nmq_tls_waiter *waiter);

// It waits no longer: once this returns, shaken is not called. Call without a lock.
void nmq_tls_guard_forget(nmq_tls_waiter *waiter);

// Whether it is guarded; if not, TLS 1.3 is better left alone.
bool nmq_tls_guard_holds(void);

// From now on a bad certificate is refused also where a client may come without one.
// config is Mbed TLS's configuration; NULL, or no guard: does nothing.
void nmq_tls_guard_refuse_bad(void *config);
