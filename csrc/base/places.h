// places.h - a list whose entries keep their place, and that can be read in pages.
//
//     put a -> 0, put b -> 1, put c -> 2      [a b c]
//     del 1                                   [a - c]      the 1st of 2 is c, at 2
//     put d -> 1                              [a d c]      a new one takes the lowest place
//
// An entry stays at its place until it is deleted. So whoever reads on from a place sees
// each entry that stays once, whatever comes and goes meanwhile. Places are kept 64 to a
// chunk; a Fenwick tree over the chunks counts the entries.
//
// Owner    the list copies its entries. A zeroed list with `entry_bytes` set is empty.
// Threads  none of its own: the caller's lock.
// Cost     all: the logarithm of how many there are. put may allocate.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NMQ_PLACES_CHUNK = 64 };
static const uint32_t NMQ_NO_PLACE = 4294967295; // of none

typedef struct nmq_places_chunk nmq_places_chunk;

typedef struct {
    nmq_places_chunk **chunks; // NULL: none of its places is in use
    uint32_t *sums;            // Fenwick tree, from 1 on: entries in a run of chunks
    uint32_t chunk_cap;        // 0 or a power of two
    uint32_t count;
    uint32_t entry_bytes; // fixed
} nmq_places;

// Copies the entry to the lowest free place. Returns NMQ_OK, or NMQ_ENOMEM with the list as
// it was.
int nmq_places_put(nmq_places *places, const void *entry, uint32_t *place);

// The place is in use.
void nmq_places_del(nmq_places *places, uint32_t place);

// The entry at that place, which may be written to; NULL: the place is free. It holds until
// the entry is deleted.
void *nmq_places_at(const nmq_places *places, uint32_t place);

// How many entries have a lower place.
uint32_t nmq_places_rank(const nmq_places *places, uint32_t place);

// The place of the entry of that rank, NMQ_NO_PLACE: there are no more than that.
uint32_t nmq_places_nth(const nmq_places *places, uint64_t rank);

// The first place in use from that one on, NMQ_NO_PLACE: none.
uint32_t nmq_places_next(const nmq_places *places, uint32_t from);

void nmq_places_free(nmq_places *places); // the list is empty then
