// dialer.h - a connection that we begin: to another broker.
//
//     name ──lookup──> addresses ──one after the other──> connected ──TLS──> ──WebSocket──>
//     stream
//
// A dial ends once: with a stream that is ready for MQTT, or with what was tried and why it
// failed. It ends by its deadline, whatever the other end does.
//
// An address that does not answer has its share of the time alone: of two addresses the
// second is tried after half of it.
//
// Owner    counted: who began it has a reference. Texts are copied, and tls is kept.
// Threads  thread-safe.
// Source   MQTT 5.0, 4.2 and 6
#pragma once
#include "base/clock.h"
#include "io/dial_failure.h"
#include "io/stream.h"

// Where to, and how.
typedef struct {
    const char *host;    // a name or an address; with port 0 the path of a Unix socket
    uint16_t port;       // 0: a Unix socket
    const nmq_tls *tls;  // of nmq_tls_new_client; NULL: no TLS
    const char *path;    // of a WebSocket upgrade, "/mqtt"; NULL: MQTT without it
    uint32_t timeout_ms; // 1 or more: for all of it
} nmq_dial_options;

// Called once, by any thread, without a lock, and never from within nmq_dial_new. `stream`:
// takes it; NULL: `failure` says why.
typedef void nmq_dialled(void *arg, nmq_stream *stream, const nmq_dial_failure *failure);

typedef struct nmq_dial nmq_dial;

// Begins to dial. The clock must run until it has ended. Returns NMQ_OK; or NMQ_EINVAL,
// NMQ_ENOMEM or NMQ_ECLOSED (the clock has stopped), and `dialled` is not called.
int nmq_dial_new(const nmq_dial_options *options, nmq_clock *clock, nmq_dialled *dialled,
                 void *arg, nmq_dial **out);

// Ends it now, as NMQ_ECLOSED, if it has not ended. In any case `dialled` has returned when
// this returns: call it without a lock, and not from within `dialled`.
void nmq_dial_cancel(nmq_dial *dial);

void nmq_dial_unref(nmq_dial *dial); // takes NULL
