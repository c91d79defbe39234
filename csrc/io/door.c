#include "io/door.h"

#include <unistd.h>

#include "io/stream_nng.h"

int
nmq_door_open(nmq_door *door)
{
    int rv = nng.stream_listener_alloc(&door->listener, "socket://");

    if (rv == 0) {
        rv = nng.stream_listener_listen(door->listener);
    }
    if (rv == 0) {
        rv = nng.aio_alloc(&door->aio, NULL, NULL);
    }
    return nmq_nng_status(rv);
}

void
nmq_door_close(nmq_door *door)
{
    if (door->listener != NULL) {
        nng.stream_listener_close(door->listener);
        nng.stream_listener_free(door->listener);
    }
    if (door->aio != NULL) {
        nng.aio_free(door->aio);
    }
    *door = (nmq_door){0};
}

// Returns nng's stream over the descriptor, which it takes; NULL: the descriptor is closed.
static nng_stream *
adopt(nmq_door *door, int fd)
{
    nng.stream_listener_accept(door->listener, door->aio);
    if (nng.stream_listener_set_int(door->listener, "socket:fd", fd) != 0) {
        nng.aio_cancel(door->aio);
        nng.aio_wait(door->aio);
        (void) close(fd);
        return NULL;
    }
    nng.aio_wait(door->aio);
    return nng.aio_result(door->aio) == 0 ? nng.aio_get_output(door->aio, 0) : NULL;
}

nmq_stream *
nmq_door_adopt(nmq_door *door, int fd, nmq_peer peer)
{
    nng_stream *raw = adopt(door, fd);
    nmq_stream *stream = raw != NULL ? nmq_stream_new(raw, fd, peer) : NULL;

    if (raw != NULL && stream == NULL) {
        nng.stream_free(raw);
    }
    return stream;
}
