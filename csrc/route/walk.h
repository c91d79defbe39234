// walk.h - goes from place to place for a query, in steps, and fills its page.
//
//     while (nmq_walk_step(&walk)) {
//         lock
//         while (nmq_walk_next(&walk, places, &place)) {
//             if (the filter lets in what is at the place && nmq_walk_wants(&walk, place))
//             {
//                 nmq_walk_row(&walk), nmq_walk_text(&walk, ...)
//             }
//         }
//         unlock
//     }
//
// Threads  none of its own; each step is a lock of the caller's.
// Cost     a step: up to NMQ_WALK_VISITS places, of which a row costs NMQ_WALK_ROW.
#pragma once
#include "base/places.h"
#include "route/page_fill.h"
#include "route/query.h"

enum { NMQ_WALK_VISITS = 256, NMQ_WALK_ROW = 4 };

typedef struct {
    const nmq_query *query;
    nmq_page *page;
    uint64_t skip;    // rows that are still to be passed over
    uint64_t matched; // rows that the filter let in
    uint32_t at;      // upward: where to look next; downward: one more than that
    uint32_t left;    // visits in this step
    bool filtered;    // the query has a filter
    bool begun;
    bool over;
    int status; // NMQ_OK or NMQ_ENOMEM
} nmq_walk;

// The query fits (query_run.h) and outlives the walk. nmq_walk_end is right in any case.
void nmq_walk_begin(nmq_walk *walk, const nmq_query *query, bool filtered,
                    size_t row_bytes);

// Begins a step, and lets others run before it if it is not the first. Returns false when
// the walk is over. Call without a lock.
bool nmq_walk_step(nmq_walk *walk);

// Moves on. Returns false when the step, or the walk, is over.
bool nmq_walk_next(nmq_walk *walk, const nmq_places *places, uint32_t *place);

// Whether the page is complete before what is at that place; the walk is over then.
bool nmq_walk_ends_at(nmq_walk *walk, uint32_t place);

// The filter lets in what is at that place: whether it is a row of the page.
bool nmq_walk_wants(nmq_walk *walk, uint32_t place);

// As nmq_page_fill_row and nmq_page_fill_text; NULL ends the walk.
void *nmq_walk_row(nmq_walk *walk);
const char *nmq_walk_text(nmq_walk *walk, nmq_bytes text);

// Memory is out: the walk is over.
void nmq_walk_fail(nmq_walk *walk);

// Returns NMQ_OK, and *out is the caller's: nmq_page_free; or NMQ_ENOMEM.
int nmq_walk_end(nmq_walk *walk, nmq_page **out);
