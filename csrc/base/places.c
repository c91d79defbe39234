#include "base/places.h"

#include <stdalign.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"

enum { CHUNK = NMQ_PLACES_CHUNK, FIRST_CAP = 1 };

static const uint32_t MOST_CHUNKS = UINT32_C(1) << 25; // 2^31 places

struct nmq_places_chunk {
    uint64_t used; // a bit for each place
    alignas(8) uint8_t entries[];
};

static uint32_t
bits(uint64_t of)
{
    return (uint32_t) __builtin_popcountll(of);
}

static void
add_to_sums(nmq_places *p, uint32_t chunk, uint32_t more)
{
    p->count += more;
    for (uint32_t i = chunk + 1; i <= p->chunk_cap; i += i & (0 - i)) {
        p->sums[i] += more;
    }
}

// Makes room for twice the chunks. What a new node of the tree covers is empty, but for the
// last one, which covers all.
static int
grow(nmq_places *p)
{
    uint32_t cap = p->chunk_cap == 0 ? FIRST_CAP : 2 * p->chunk_cap;

    if (cap > MOST_CHUNKS) {
        return NMQ_ENOMEM;
    }
    nmq_places_chunk **chunks = nmq_resize(p->chunks, cap * sizeof(nmq_places_chunk *));
    if (chunks == NULL) {
        return NMQ_ENOMEM;
    }
    p->chunks = chunks;
    uint32_t *sums = nmq_resize(p->sums, (cap + 1) * sizeof *sums);
    if (sums == NULL) {
        return NMQ_ENOMEM;
    }
    p->sums = sums;
    memset(chunks + p->chunk_cap, 0, (cap - p->chunk_cap) * sizeof(nmq_places_chunk *));
    memset(sums + p->chunk_cap + 1, 0, (cap - p->chunk_cap) * sizeof *sums);
    sums[0] = 0;
    sums[cap] = p->count;
    p->chunk_cap = cap;
    return NMQ_OK;
}

// The first chunk that has a free place; there is one.
static uint32_t
chunk_with_room(const nmq_places *p)
{
    uint32_t at = 0;

    for (uint32_t step = p->chunk_cap; step > 0; step /= 2) {
        if (at + step <= p->chunk_cap && p->sums[at + step] == step * CHUNK) {
            at += step;
        }
    }
    return at;
}

// The chunk of the lowest free place, made if need be; NULL: memory is out.
static nmq_places_chunk *
open_chunk(nmq_places *p, uint32_t *at)
{
    if (p->count == p->chunk_cap * CHUNK && grow(p) != NMQ_OK) {
        return NULL;
    }
    *at = chunk_with_room(p);
    nmq_places_chunk *chunk = p->chunks[*at];
    if (chunk == NULL) {
        chunk = nmq_alloc(sizeof *chunk + (size_t) CHUNK * p->entry_bytes);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->used = 0;
        p->chunks[*at] = chunk;
    }
    return chunk;
}

int
nmq_places_put(nmq_places *p, const void *entry, uint32_t *place)
{
    uint32_t at;
    nmq_places_chunk *chunk = open_chunk(p, &at);

    if (chunk == NULL) {
        if (p->count == 0) {
            nmq_places_free(p);
        }
        return NMQ_ENOMEM;
    }
    uint32_t slot = (uint32_t) __builtin_ctzll(~chunk->used);
    memcpy(chunk->entries + (size_t) slot * p->entry_bytes, entry, p->entry_bytes);
    chunk->used |= UINT64_C(1) << slot;
    add_to_sums(p, at, 1);
    *place = at * CHUNK + slot;
    return NMQ_OK;
}

void
nmq_places_del(nmq_places *p, uint32_t place)
{
    nmq_places_chunk **chunk = &p->chunks[place / CHUNK];

    (*chunk)->used &= ~(UINT64_C(1) << (place % CHUNK));
    add_to_sums(p, place / CHUNK, UINT32_MAX);
    if (p->count == 0) {
        nmq_places_free(p);
    } else if ((*chunk)->used == 0) {
        nmq_free(*chunk);
        *chunk = NULL;
    }
}

void *
nmq_places_at(const nmq_places *p, uint32_t place)
{
    if (place / CHUNK >= p->chunk_cap) {
        return NULL;
    }
    nmq_places_chunk *chunk = p->chunks[place / CHUNK];
    return chunk != NULL && (chunk->used >> (place % CHUNK) & 1) != 0
               ? chunk->entries + (size_t) (place % CHUNK) * p->entry_bytes
               : NULL;
}

uint32_t
nmq_places_rank(const nmq_places *p, uint32_t place)
{
    uint32_t at = place / CHUNK;
    uint32_t rank = 0;

    if (at >= p->chunk_cap) {
        return p->count;
    }
    if (p->chunks[at] != NULL) {
        rank = bits(p->chunks[at]->used & ((UINT64_C(1) << (place % CHUNK)) - 1));
    }
    for (uint32_t i = at; i > 0; i -= i & (0 - i)) {
        rank += p->sums[i];
    }
    return rank;
}

uint32_t
nmq_places_nth(const nmq_places *p, uint64_t rank)
{
    uint32_t at = 0;

    if (rank >= p->count) {
        return NMQ_NO_PLACE;
    }
    for (uint32_t step = p->chunk_cap; step > 0; step /= 2) {
        if (at + step <= p->chunk_cap && p->sums[at + step] <= rank) {
            at += step;
            rank -= p->sums[at];
        }
    }
    uint64_t used = p->chunks[at]->used;
    for (; rank > 0; rank--) {
        used &= used - 1; // takes the lowest off
    }
    return at * CHUNK + (uint32_t) __builtin_ctzll(used);
}

uint32_t
nmq_places_next(const nmq_places *p, uint32_t from)
{
    uint32_t at = from / CHUNK;

    if (at >= p->chunk_cap) {
        return NMQ_NO_PLACE;
    }
    uint64_t used = p->chunks[at] != NULL ? p->chunks[at]->used >> (from % CHUNK) : 0;
    return used != 0 ? from + (uint32_t) __builtin_ctzll(used)
                     : nmq_places_nth(p, nmq_places_rank(p, from));
}

void
nmq_places_free(nmq_places *p)
{
    for (uint32_t i = 0; i < p->chunk_cap; i++) {
        nmq_free(p->chunks[i]);
    }
    nmq_free(p->chunks);
    nmq_free(p->sums);
    *p = (nmq_places){.entry_bytes = p->entry_bytes};
}
