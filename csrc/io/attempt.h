// attempt.h - to connect to one address after the other: what the two ways have in common.
//
//     begin(address) ──> ended: no stream, and why ──> begin(next address) ──> ended: a
//     stream
//
//     attempt_socket   TCP and Unix sockets: a descriptor of ours, and our poller waits
//     attempt_tls      nng connects, and shakes hands
//
// Owner    the dialer makes one for a dial, and frees it while nothing is under way.
// Threads  begin and free: one at a time. The others: any, without a lock.
#pragma once
#include <sys/socket.h>

#include "io/stream.h"

typedef struct nmq_attempt nmq_attempt;

enum { NMQ_ATTEMPT_WHY_BYTES = 128 };

// Called once for each begin, by one of the threads that read sockets, and never from
// within begin. status: NMQ_OK with a stream, which whoever is called takes; or negative,
// and attempt->why says why.
typedef void nmq_attempt_ended(void *arg, nmq_stream *stream, int status);

typedef struct {
    void (*begin)(nmq_attempt *attempt, const struct sockaddr *address, socklen_t len);

    // What is under way fails soon, or has just ended.
    void (*skip)(nmq_attempt *attempt);

    // What is under way fails soon, whatever it does; and so does what begins later.
    void (*cancel)(nmq_attempt *attempt);

    // What it does, for people: "connecting".
    const char *(*doing)(nmq_attempt *attempt);

    void (*free)(nmq_attempt *attempt);
} nmq_attempt_ops;

struct nmq_attempt {
    const nmq_attempt_ops *ops;
    nmq_attempt_ended *ended;
    void *arg;
    char why[NMQ_ATTEMPT_WHY_BYTES]; // of the last that ended without a stream
};
