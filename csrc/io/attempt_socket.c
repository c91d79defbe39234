#include "io/attempt_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/acceptor.h"
#include "io/door.h"
#include "io/poller.h"

typedef struct {
    nmq_attempt base; // first
    nmq_source source;
    nmq_job job; // tells of one that failed at once
    nmq_peer peer;
    int error; // errno of one that failed at once
    pthread_mutex_t lock;
    int fd;         // lock: connects; -1: none does
    bool cancelled; // lock
} socket_attempt;

static int
status_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET: return NMQ_EREFUSED;
    case ETIMEDOUT: return NMQ_ETIMEOUT;
    case ENOENT: return NMQ_ENOENT;
    case EACCES:
    case EPERM: return NMQ_EACCESS;
    case EMFILE:
    case ENFILE: return NMQ_EFILES;
    case ENOMEM:
    case ENOBUFS: return NMQ_ENOMEM;
    default: return NMQ_EIO;
    }
}

// Takes the descriptor out of skip's reach.
static int
take_fd(socket_attempt *a)
{
    (void) pthread_mutex_lock(&a->lock);
    int fd = a->fd;
    a->fd = -1;
    (void) pthread_mutex_unlock(&a->lock);
    return fd;
}

static void
fail(socket_attempt *a, int error)
{
    int fd = take_fd(a);

    if (fd >= 0) {
        (void) close(fd);
    }
    (void) snprintf(a->base.why, sizeof a->base.why, "%s", strerror(error));
    a->base.ended(a->base.arg, NULL, status_of(error));
}

static void
connected(socket_attempt *a)
{
    nmq_door door = {0};
    int fd = take_fd(a);
    nmq_stream *stream = NULL;
    const int on = 1;

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // not on Unix sockets
    nmq_acceptor_keep_alive(fd);
    if (nmq_door_open(&door) == NMQ_OK) {
        stream = nmq_door_adopt(&door, fd, a->peer);
    } else {
        (void) close(fd);
    }
    nmq_door_close(&door);
    if (stream == NULL) {
        fail(a, ENOMEM);
        return;
    }
    a->base.ended(a->base.arg, stream, NMQ_OK);
}

// It has connected, or has failed.
static void
ready(nmq_source *source, nmq_worker *worker)
{
    socket_attempt *a = NMQ_CONTAINER(source, socket_attempt, source);
    int error = 0;
    socklen_t len = sizeof error;

    (void) worker;
    nmq_poller_forget(source);
    if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    struct sockaddr_storage other;
    socklen_t other_len = sizeof other;
    if (error == 0 &&
        getpeername(source->fd, (struct sockaddr *) &other, &other_len) != 0) {
        error = ECONNABORTED; // it was skipped
    }
    if (error != 0) {
        fail(a, error);
    } else {
        connected(a);
    }
}

static void
failed_at_once(nmq_job *job, nmq_worker *worker)
{
    socket_attempt *a = NMQ_CONTAINER(job, socket_attempt, job);

    (void) worker;
    fail(a, a->error);
}

// The poller hears of a socket that is shut down.
static void
skip(nmq_attempt *attempt)
{
    socket_attempt *a = (socket_attempt *) attempt;

    (void) pthread_mutex_lock(&a->lock);
    if (a->fd >= 0) {
        (void) shutdown(a->fd, SHUT_RDWR);
    }
    (void) pthread_mutex_unlock(&a->lock);
}

static void
cancel(nmq_attempt *attempt)
{
    socket_attempt *a = (socket_attempt *) attempt;

    (void) pthread_mutex_lock(&a->lock);
    a->cancelled = true;
    (void) pthread_mutex_unlock(&a->lock);
    skip(attempt);
}

static void
begin(nmq_attempt *attempt, const struct sockaddr *address, socklen_t len)
{
    socket_attempt *a = (socket_attempt *) attempt;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool waits = false;

    a->peer = nmq_peer_of(address);
    (void) pthread_mutex_lock(&a->lock);
    a->fd = fd;
    (void) pthread_mutex_unlock(&a->lock);
    if (fd >= 0 && (connect(fd, address, len) == 0 || errno == EINPROGRESS)) {
        a->source = (nmq_source){.ready = ready, .fd = fd};
        errno = ENOMEM;
        waits = nmq_poller_wait_writable(&a->source) == NMQ_OK;
    }
    if (!waits) {
        a->error = errno;
        a->job = (nmq_job){.run = failed_at_once};
        nmq_poller_post(&a->job);
        return;
    }
    (void) pthread_mutex_lock(&a->lock);
    bool cancelled = a->cancelled; // before it began to connect, perhaps
    (void) pthread_mutex_unlock(&a->lock);
    if (cancelled) {
        skip(attempt);
    }
}

static const char *
doing(nmq_attempt *attempt)
{
    (void) attempt;
    return "connecting";
}

static void
attempt_free(nmq_attempt *attempt)
{
    socket_attempt *a = (socket_attempt *) attempt;

    (void) pthread_mutex_destroy(&a->lock);
    nmq_free(a);
}

static const nmq_attempt_ops ops = {
    .begin = begin,
    .skip = skip,
    .cancel = cancel,
    .doing = doing,
    .free = attempt_free,
};

nmq_attempt *
nmq_attempt_socket_new(nmq_attempt_ended *ended, void *arg)
{
    socket_attempt *a = nmq_zalloc(sizeof *a);

    if (a == NULL) {
        return NULL;
    }
    a->base = (nmq_attempt){.ops = &ops, .ended = ended, .arg = arg};
    a->fd = -1;
    (void) pthread_mutex_init(&a->lock, NULL);
    return &a->base;
}
