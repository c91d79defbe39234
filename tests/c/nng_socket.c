#include "nng_socket.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "io/nng.h"

struct nng_stream {
    int fd;
};

struct nng_aio {
    void (*callback)(void *);
    void *arg;
    nng_iov iov[8];
    unsigned count;
    int result;
    size_t sent;
    nng_stream *output;
    nng_stream *stream; // lock: of the send under way; NULL: none
    nng_aio *next;      // lock: in the list of those
    bool is_cancelled;  // lock
    bool is_reaped;     // lock: freed after its callback
    bool is_called;     // lock: its callback runs
};

struct nng_stream_listener {
    nng_aio *aio; // of the accept under way
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static nng_aio *sends; // lock

// --- sends that wait

// Whether the send is over.
static bool
try_send(nng_aio *aio)
{
    struct iovec iov[8];
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (uint8_t) aio->count};

    for (unsigned i = 0; i < aio->count; i++) {
        iov[i] = (struct iovec){aio->iov[i].iov_buf, aio->iov[i].iov_len};
    }
    ssize_t n = aio->is_cancelled
                    ? -1
                    : sendmsg(aio->stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && !aio->is_cancelled && errno == EAGAIN) {
        return false;
    }
    aio->result = n > 0 ? 0 : NNG_ECANCELED;
    aio->sent = n > 0 ? (size_t) n : 0;
    return true;
}

// Takes one that is over off the list; NULL: none is. Call with the lock.
static nng_aio *
take_done(void)
{
    for (nng_aio **at = &sends; *at != NULL; at = &(*at)->next) {
        nng_aio *aio = *at;
        if (try_send(aio)) {
            *at = aio->next;
            aio->stream = NULL;
            aio->is_called = true;
            return aio;
        }
    }
    return NULL;
}

static void *
run(void *arg)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    (void) arg;
    (void) pthread_mutex_lock(&lock);
    for (;;) {
        while (sends == NULL) {
            (void) pthread_cond_wait(&more, &lock);
        }
        nng_aio *aio = take_done();
        (void) pthread_mutex_unlock(&lock);
        if (aio != NULL) {
            aio->callback(aio->arg);
        } else {
            (void) nanosleep(&pause, NULL);
        }
        (void) pthread_mutex_lock(&lock);
        if (aio != NULL) {
            aio->is_called = false;
            if (aio->is_reaped) {
                free(aio);
            }
        }
    }
    return NULL;
}

static void
stream_send(nng_stream *stream, nng_aio *aio)
{
    (void) pthread_mutex_lock(&lock);
    assert(aio->stream == NULL);
    aio->stream = stream;
    aio->is_cancelled = false;
    aio->next = sends;
    sends = aio;
    (void) pthread_cond_signal(&more);
    (void) pthread_mutex_unlock(&lock);
}

// --- aios

static int
aio_alloc(nng_aio **out, void (*callback)(void *), void *arg)
{
    *out = calloc(1, sizeof **out);
    assert(*out != NULL);
    (*out)->callback = callback;
    (*out)->arg = arg;
    return 0;
}

static void
aio_reap(nng_aio *aio)
{
    (void) pthread_mutex_lock(&lock);
    assert(aio->stream == NULL); // it rests
    aio->is_reaped = true;
    bool frees = !aio->is_called;
    (void) pthread_mutex_unlock(&lock);
    if (frees) {
        free(aio);
    }
}

static void
aio_cancel(nng_aio *aio)
{
    (void) pthread_mutex_lock(&lock);
    aio->is_cancelled = true;
    (void) pthread_mutex_unlock(&lock);
}

static void
aio_wait(nng_aio *aio)
{
    (void) aio; // only accepts are waited for, and are over at once
}

static int
aio_result(nng_aio *aio)
{
    return aio->result;
}

static size_t
aio_count(nng_aio *aio)
{
    return aio->sent;
}

static int
aio_set_iov(nng_aio *aio, unsigned count, const nng_iov *iov)
{
    memcpy(aio->iov, iov, count * sizeof *iov);
    aio->count = count;
    return 0;
}

static void *
aio_get_output(nng_aio *aio, unsigned index)
{
    assert(index == 0);
    return aio->output;
}

// --- streams

static void
stream_close(nng_stream *stream)
{
    (void) shutdown(stream->fd, SHUT_RDWR);
}

static void
stream_free(nng_stream *stream)
{
    (void) close(stream->fd);
    free(stream);
}

static int
listener_alloc(nng_stream_listener **out, const char *url)
{
    assert(strcmp(url, "socket://") == 0);
    *out = calloc(1, sizeof **out);
    return *out != NULL ? 0 : NNG_ENOMEM;
}

static int
listener_listen(nng_stream_listener *listener)
{
    (void) listener;
    return 0;
}

static void
listener_accept(nng_stream_listener *listener, nng_aio *aio)
{
    listener->aio = aio;
}

static int
listener_set_int(nng_stream_listener *listener, const char *name, int fd)
{
    nng_stream *stream = calloc(1, sizeof *stream);

    assert(strcmp(name, "socket:fd") == 0 && stream != NULL);
    stream->fd = fd;
    listener->aio->output = stream;
    listener->aio->result = 0;
    return 0;
}

static void
listener_close(nng_stream_listener *listener)
{
    (void) listener;
}

static void
listener_free(nng_stream_listener *listener)
{
    free(listener);
}

void
nng_socket_bind(void)
{
    pthread_t thread;

    nng = (nmq_nng_table){
        .aio_alloc = aio_alloc,
        .aio_free = aio_reap,
        .aio_reap = aio_reap,
        .aio_cancel = aio_cancel,
        .aio_wait = aio_wait,
        .aio_result = aio_result,
        .aio_count = aio_count,
        .aio_set_iov = aio_set_iov,
        .aio_get_output = aio_get_output,
        .stream_send = stream_send,
        .stream_close = stream_close,
        .stream_free = stream_free,
        .stream_listener_alloc = listener_alloc,
        .stream_listener_listen = listener_listen,
        .stream_listener_accept = listener_accept,
        .stream_listener_set_int = listener_set_int,
        .stream_listener_close = listener_close,
        .stream_listener_free = listener_free,
    };
    assert(pthread_create(&thread, NULL, run, NULL) == 0);
    (void) pthread_detach(thread);
}
