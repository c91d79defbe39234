#include "base/ring.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"

struct nmq_ring {
    pthread_mutex_t lock;
    size_t record_size;
    size_t capacity;
    size_t head;  // lock
    size_t count; // lock
    int fd;
    uint8_t *records; // lock
};

int
nmq_ring_new(size_t record_size, size_t capacity, nmq_ring **out)
{
    nmq_ring *ring = nmq_zalloc(sizeof *ring);

    if (ring == NULL) {
        return NMQ_ENOMEM;
    }
    ring->record_size = record_size;
    ring->capacity = capacity;
    ring->records = nmq_alloc(record_size * capacity);
    if (ring->records == NULL) {
        nmq_free(ring);
        return NMQ_ENOMEM;
    }
    ring->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ring->fd < 0) {
        nmq_free(ring->records);
        nmq_free(ring);
        return NMQ_EIO;
    }
    (void) pthread_mutex_init(&ring->lock, NULL);
    *out = ring;
    return NMQ_OK;
}

void
nmq_ring_free(nmq_ring *ring)
{
    if (ring != NULL) {
        (void) close(ring->fd);
        (void) pthread_mutex_destroy(&ring->lock);
        nmq_free(ring->records);
        nmq_free(ring);
    }
}

static uint8_t *
record_at(const nmq_ring *ring, size_t index)
{
    return ring->records + (ring->head + index) % ring->capacity * ring->record_size;
}

bool
nmq_ring_put(nmq_ring *ring, const void *record)
{
    uint64_t one = 1;

    (void) pthread_mutex_lock(&ring->lock);
    bool fits = ring->count < ring->capacity;
    if (fits) {
        memcpy(record_at(ring, ring->count), record, ring->record_size);
        if (ring->count++ == 0) { // one wake-up for a whole run of records
            ssize_t wrote = write(ring->fd, &one, sizeof one);
            (void) wrote; // an eventfd at its limit is readable already
        }
    }
    (void) pthread_mutex_unlock(&ring->lock);
    return fits;
}

size_t
nmq_ring_take(nmq_ring *ring, void *records, size_t most)
{
    uint64_t wakes;
    size_t n = 0;

    (void) pthread_mutex_lock(&ring->lock);
    for (; n < most && ring->count > 0; n++) {
        memcpy((uint8_t *) records + n * ring->record_size, record_at(ring, 0),
               ring->record_size);
        ring->head = (ring->head + 1) % ring->capacity;
        ring->count--;
    }
    if (ring->count == 0) {
        ssize_t got = read(ring->fd, &wakes, sizeof wakes);
        (void) got;
    }
    (void) pthread_mutex_unlock(&ring->lock);
    return n;
}

int
nmq_ring_fd(const nmq_ring *ring)
{
    return ring->fd;
}
