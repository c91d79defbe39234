#include "io/acceptor_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/acceptor.h"
#include "io/door.h"
#include "io/poller.h"

typedef struct {
    nmq_acceptor base; // first
    nmq_accept to;
    nmq_door door;
    int fd;        // listens
    int wake_fd;   // readable: start, or stop
    bool stopping; // atomic
    pthread_t thread;
} socket_acceptor;

static void
take(socket_acceptor *a, int fd, const struct sockaddr *address)
{
    nmq_peer peer = nmq_peer_of(address);

    if (!a->to.admit(a->to.arg, &peer)) {
        (void) close(fd);
        return;
    }
    nmq_stream *stream = nmq_door_adopt(&a->door, fd, peer);
    if (stream != NULL) {
        a->to.accept(a->to.arg, stream);
        return;
    }
    a->to.leave(a->to.arg, &peer);
}

// Returns what accept4 says; below 0 with errno. The last descriptors are not for clients:
// without one for a file or for the HTTP API nobody could look after the broker.
static int
next_connection(int listening, struct sockaddr_storage *address)
{
    socklen_t len = sizeof *address;

    address->ss_family = AF_UNSPEC;
    if (!nmq_descriptors_left(NMQ_ACCEPT_KEEP)) {
        errno = EMFILE;
        return -1;
    }
    return accept4(listening, (struct sockaddr *) address, &len,
                   SOCK_NONBLOCK | SOCK_CLOEXEC);
}

// Whether an error of accept is the connection's own, and the next one may do.
static bool
is_passing(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH;
}

// Returns whether connections are to be accepted.
static bool
wait_for_start(socket_acceptor *a)
{
    struct pollfd wait = {.fd = a->wake_fd, .events = POLLIN};
    eventfd_t unused;

    while (poll(&wait, 1, -1) < 0) { // a signal
    }
    (void) eventfd_read(a->wake_fd, &unused);
    return !__atomic_load_n(&a->stopping, __ATOMIC_ACQUIRE);
}

static void *
run(void *arg)
{
    socket_acceptor *a = arg;
    struct pollfd wait[2] = {{.fd = a->wake_fd, .events = POLLIN},
                             {.fd = a->fd, .events = POLLIN}};
    struct sockaddr_storage address;

    if (!wait_for_start(a)) {
        return NULL;
    }
    while (wait[0].revents == 0) {
        int fd = next_connection(a->fd, &address);
        if (fd >= 0) {
            take(a, fd, (const struct sockaddr *) &address);
            // while connections come without a pause, look up now and then
            (void) poll(wait, 1, 0);
        } else if (errno == EAGAIN) {
            (void) poll(wait, 2, -1);
        } else if (!is_passing(errno)) { // out of descriptors or memory: no busy loop
            a->to.starved(a->to.arg);
            (void) poll(wait, 1, NMQ_ACCEPT_PAUSE_MS);
        }
    }
    return NULL;
}

static void
acceptor_free(socket_acceptor *a)
{
    nmq_door_close(&a->door);
    if (a->wake_fd >= 0) {
        (void) close(a->wake_fd);
    }
    nmq_free(a);
}

static void
start(nmq_acceptor *acceptor)
{
    (void) eventfd_write(((socket_acceptor *) acceptor)->wake_fd, 1);
}

static void
stop(nmq_acceptor *acceptor)
{
    socket_acceptor *a = (socket_acceptor *) acceptor;

    __atomic_store_n(&a->stopping, true, __ATOMIC_RELEASE);
    (void) eventfd_write(a->wake_fd, 1);
    (void) pthread_join(a->thread, NULL);
    (void) close(a->fd);
    acceptor_free(a);
}

static int
set_tls(nmq_acceptor *acceptor, const nmq_tls *tls)
{
    (void) acceptor;
    (void) tls;
    return NMQ_EINVAL;
}

static const nmq_acceptor_ops ops = {.set_tls = set_tls, .start = start, .stop = stop};

static uint32_t
bound_port(int fd)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof at;

    (void) getsockname(fd, (struct sockaddr *) &at, &len);
    return nmq_peer_of((const struct sockaddr *) &at).port;
}

static int
open_door(socket_acceptor *a)
{
    a->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (a->wake_fd < 0) {
        return NMQ_EFILES;
    }
    return nmq_door_open(&a->door);
}

// Connections inherit TCP_NODELAY and keep alive. A batch is flushed whole: Nagle's
// algorithm would hold the next one back until the peer's delayed acknowledgement, some 40
// ms.
static int
prepare(int fd)
{
    const int on = 1;

    (void) fcntl(fd, F_SETFL, O_NONBLOCK);                           // systemd's may wait
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // not on Unix sockets
    nmq_acceptor_keep_alive(fd);
    return listen(fd, NMQ_ACCEPT_BACKLOG) == 0 ? NMQ_OK : NMQ_EIO;
}

int
nmq_acceptor_socket(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
                    uint32_t *port)
{
    socket_acceptor *a = nmq_zalloc(sizeof *a);

    if (a == NULL) {
        return NMQ_ENOMEM;
    }
    a->base.ops = &ops;
    a->to = *to;
    a->fd = endpoint->fd;
    a->wake_fd = -1;
    int rv = prepare(a->fd);
    if (rv == NMQ_OK) {
        rv = nmq_poller_start();
    }
    if (rv == NMQ_OK) {
        rv = open_door(a);
    }
    if (rv == NMQ_OK && pthread_create(&a->thread, NULL, run, a) != 0) {
        rv = NMQ_ENOMEM;
    }
    if (rv != NMQ_OK) {
        acceptor_free(a);
        return rv;
    }
    *port = bound_port(a->fd);
    *out = &a->base;
    return NMQ_OK;
}
