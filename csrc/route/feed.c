#include "route/feed.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"

enum {
    FIRST_BYTES = 1 << 12, // of a chunk while nothing waits
    CHUNK_BYTES = 1 << 16,
};

struct nmq_chunk {
    nmq_chunk *next;
    size_t size; // of bytes
    size_t used; // of them
    uint8_t bytes[];
};

struct nmq_feed {
    pthread_mutex_t lock;
    uint32_t refs; // atomic
    int fd;        // fixed
    size_t max_bytes;
    size_t bytes;     // lock: in the chunks
    uint64_t dropped; // lock
    nmq_chunk *first; // lock
    nmq_chunk *last;  // lock
};

int
nmq_feed_new(size_t max_bytes, bool wakes, nmq_feed **out)
{
    nmq_feed *feed = nmq_zalloc(sizeof *feed);

    if (feed == NULL) {
        return NMQ_ENOMEM;
    }
    feed->fd = wakes ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (wakes && feed->fd < 0) {
        nmq_free(feed);
        return NMQ_EFILES;
    }
    feed->refs = 1;
    feed->max_bytes = max_bytes;
    (void) pthread_mutex_init(&feed->lock, NULL);
    *out = feed;
    return NMQ_OK;
}

nmq_feed *
nmq_feed_ref(nmq_feed *feed)
{
    (void) __atomic_add_fetch(&feed->refs, 1, __ATOMIC_RELAXED);
    return feed;
}

void
nmq_feed_unref(nmq_feed *feed)
{
    if (feed == NULL || __atomic_sub_fetch(&feed->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    while (feed->first != NULL) {
        nmq_chunk *chunk = feed->first;
        feed->first = chunk->next;
        nmq_free(chunk);
    }
    if (feed->fd >= 0) {
        (void) close(feed->fd);
    }
    (void) pthread_mutex_destroy(&feed->lock);
    nmq_free(feed);
}

// Returns where a record of that length goes, or NULL. Call with the lock.
static uint8_t *
room_for(nmq_feed *feed, size_t len)
{
    nmq_chunk *last = feed->last;
    size_t size = last != NULL ? CHUNK_BYTES : FIRST_BYTES;

    if (feed->bytes > 0 && feed->bytes + len > feed->max_bytes) {
        return NULL;
    }
    if (last == NULL || last->size - last->used < len) {
        size = len > size ? len : size;
        nmq_chunk *chunk = nmq_alloc(sizeof *chunk + size);
        if (chunk == NULL) {
            return NULL;
        }
        *chunk = (nmq_chunk){.size = size};
        *(last != NULL ? &last->next : &feed->first) = chunk;
        feed->last = last = chunk;
    }
    uint8_t *at = last->bytes + last->used;
    last->used += len;
    feed->bytes += len;
    return at;
}

// One wake-up for a whole run of records. Call with the lock.
static void
wake(const nmq_feed *feed)
{
    uint64_t one = 1;

    if (feed->fd >= 0) {
        ssize_t wrote = write(feed->fd, &one, sizeof one);
        (void) wrote; // an eventfd at its limit is readable already
    }
}

bool
nmq_feed_put(nmq_feed *feed, const nmq_feed_piece *pieces, uint32_t count)
{
    size_t len = 0;

    for (uint32_t i = 0; i < count; i++) {
        len += pieces[i].len;
    }
    (void) pthread_mutex_lock(&feed->lock);
    bool was_empty = feed->bytes == 0;
    uint8_t *at = room_for(feed, len);
    for (uint32_t i = 0; i < count && at != NULL; i++) {
        if (pieces[i].len > 0) {
            memcpy(at, pieces[i].at, pieces[i].len);
        }
        at += pieces[i].len;
    }
    feed->dropped += at == NULL;
    if (at != NULL && was_empty) {
        wake(feed);
    }
    (void) pthread_mutex_unlock(&feed->lock);
    return at != NULL;
}

nmq_chunk *
nmq_feed_take(nmq_feed *feed)
{
    uint64_t wakes;

    (void) pthread_mutex_lock(&feed->lock);
    nmq_chunk *chunk = feed->first;
    if (chunk != NULL) {
        feed->first = chunk->next;
        feed->last = feed->first != NULL ? feed->last : NULL;
        feed->bytes -= chunk->used;
    }
    if (chunk != NULL && feed->first == NULL && feed->fd >= 0) {
        ssize_t got = read(feed->fd, &wakes, sizeof wakes);
        (void) got;
    }
    (void) pthread_mutex_unlock(&feed->lock);
    return chunk;
}

const char *
nmq_chunk_read(const nmq_chunk *chunk, size_t *len)
{
    *len = chunk->used;
    return (const char *) chunk->bytes;
}

void
nmq_chunk_free(nmq_chunk *chunk)
{
    nmq_free(chunk);
}

uint64_t
nmq_feed_dropped(nmq_feed *feed)
{
    (void) pthread_mutex_lock(&feed->lock);
    uint64_t dropped = feed->dropped;
    (void) pthread_mutex_unlock(&feed->lock);
    return dropped;
}

size_t
nmq_feed_bytes(nmq_feed *feed)
{
    (void) pthread_mutex_lock(&feed->lock);
    size_t bytes = feed->bytes;
    (void) pthread_mutex_unlock(&feed->lock);
    return bytes;
}

int
nmq_feed_fd(const nmq_feed *feed)
{
    return feed->fd;
}
