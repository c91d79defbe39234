// probe.h - open addressing: how an entry leaves a table without breaking the search for
// others.
//
//     home of b, c        hole
//     [  a  ][  b  ] ... [     ][  c  ][ free ]      c moves back: a search stops at a hole
//
// An entry stands in its home, the place that its hash gives, or behind it with no free
// place between.
//
// Owner    the table is the caller's.
// Threads  none of its own: the caller's lock.
// Cost     the entries up to the next free place.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define NMQ_PROBE_FREE SIZE_MAX

// The home of the entry at that place, or NMQ_PROBE_FREE where none stands.
typedef size_t nmq_probe_home(const void *table, size_t at);

// Moves the entry to a place that is free; what is left behind it is overwritten or
// cleared.
typedef void nmq_probe_move(void *table, size_t to, size_t from);

// Closes the hole: moves entries behind it back. mask: the number of places, a power of
// two, less 1. Returns which place is free now: the caller clears it. Inline, so that the
// compiler puts the two functions into the loop.
static inline size_t
nmq_probe_close(void *table, size_t mask, size_t hole, nmq_probe_home *home,
                nmq_probe_move *move)
{
    size_t of;

    for (size_t i = (hole + 1) & mask; (of = home(table, i)) != NMQ_PROBE_FREE;
         i = (i + 1) & mask) {
        if (((i - of) & mask) >= ((i - hole) & mask)) {
            move(table, hole, i);
            hole = i;
        }
    }
    return hole;
}
