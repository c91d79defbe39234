#include "base/bytes.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/mem.h"
#include "base/status.h"

enum { FIRST_CAP = 256 };

bool
nmq_bytes_equal(nmq_bytes a, nmq_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

nmq_bytes
nmq_bytes_of(const char *text)
{
    return (nmq_bytes){(const uint8_t *) text, strlen(text)};
}

static uint64_t
hash_key(void)
{
    static uint64_t key; // 0: not drawn yet
    uint64_t k = __atomic_load_n(&key, __ATOMIC_RELAXED);

    if (k == 0) {
        uint64_t drawn = 0;
        uint64_t none = 0;
        if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn) {
            struct timespec t;
            (void) clock_gettime(CLOCK_REALTIME, &t);
            drawn = (uint64_t) t.tv_nsec * 0x9e3779b97f4a7c15u;
        }
        drawn |= 1;
        k = __atomic_compare_exchange_n(&key, &none, drawn, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)
                ? drawn
                : none;
    }
    return k;
}

// Both halves of a product of 128 bits, folded.
static uint64_t
mix(uint64_t h, uint64_t v)
{
    const uint64_t factor = 0xa0761d6478bd642fu;
#ifdef __SIZEOF_INT128__
    __extension__ unsigned __int128 wide = (unsigned __int128) (h ^ v) * factor;

    return (uint64_t) wide ^ (uint64_t) (wide >> 64);
#else // a 32-bit machine: by halves
    uint64_t low = (h ^ v) & UINT32_MAX;
    uint64_t high = (h ^ v) >> 32;
    uint64_t low_low = low * (factor & UINT32_MAX);
    uint64_t low_high = low * (factor >> 32);
    uint64_t high_low = high * (factor & UINT32_MAX);
    uint64_t middle = (low_low >> 32) + (low_high & UINT32_MAX) + (high_low & UINT32_MAX);

    return (middle << 32 | (low_low & UINT32_MAX)) ^
           (high * (factor >> 32) + (low_high >> 32) + (high_low >> 32) + (middle >> 32));
#endif
}

uint64_t
nmq_bytes_hash(nmq_bytes in)
{
    uint64_t h = hash_key() ^ in.len;
    uint64_t v;

    while (in.len >= sizeof v) {
        memcpy(&v, in.at, sizeof v);
        h = mix(h, v);
        in.at += sizeof v;
        in.len -= sizeof v;
    }
    v = 0;
    if (in.len > 0) {
        memcpy(&v, in.at, in.len);
    }
    return mix(mix(h, v), 0xe7037ed1a0b428dbu);
}

int
nmq_bytes_copy(nmq_bytes in, nmq_bytes *out)
{
    uint8_t *copy = nmq_alloc(in.len + 1);

    if (copy == NULL) {
        return NMQ_ENOMEM;
    }
    if (in.len > 0) {
        memcpy(copy, in.at, in.len);
    }
    copy[in.len] = 0;
    *out = (nmq_bytes){copy, in.len};
    return NMQ_OK;
}

void
nmq_bytes_free(nmq_bytes *owned)
{
    nmq_free((void *) (uintptr_t) owned->at);
    *owned = (nmq_bytes){0};
}

uint8_t *
nmq_buf_reserve(nmq_buf *buf, size_t more)
{
    size_t cap = buf->cap;

    if (buf->cap - buf->len >= more) {
        return buf->at + buf->len;
    }
    while (cap - buf->len < more) {
        cap = cap == 0 ? FIRST_CAP : cap * 2;
    }
    uint8_t *grown = nmq_resize(buf->at, cap);
    if (grown == NULL) {
        return NULL;
    }
    buf->at = grown;
    buf->cap = cap;
    return buf->at + buf->len;
}

int
nmq_buf_put(nmq_buf *buf, nmq_bytes in)
{
    if (in.len == 0) {
        return NMQ_OK;
    }
    uint8_t *to = nmq_buf_reserve(buf, in.len);
    if (to == NULL) {
        return NMQ_ENOMEM;
    }
    memcpy(to, in.at, in.len);
    buf->len += in.len;
    return NMQ_OK;
}

void
nmq_buf_free(nmq_buf *buf)
{
    nmq_free(buf->at);
    *buf = (nmq_buf){0};
}

void
nmq_buf_wipe(nmq_buf *buf)
{
    if (buf->at != NULL) {
        explicit_bzero(buf->at, buf->cap);
    }
    nmq_buf_free(buf);
}
