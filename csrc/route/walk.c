#include "route/walk.h"

#include "base/clock.h"
#include "base/status.h"

void
nmq_walk_begin(nmq_walk *walk, const nmq_query *query, bool filtered, size_t row_bytes)
{
    uint32_t first = query->backward ? UINT32_MAX : 1;
    uint32_t cursor = query->cursor != 0 ? query->cursor : first;

    *walk = (nmq_walk){
        .query = query,
        .page = nmq_page_fill_new(row_bytes),
        .skip = query->offset,
        .at = query->backward ? cursor : cursor - 1,
        .filtered = filtered,
    };
    if (walk->page == NULL) {
        nmq_walk_fail(walk);
    }
}

void
nmq_walk_fail(nmq_walk *walk)
{
    walk->status = NMQ_ENOMEM;
    walk->over = true;
}

bool
nmq_walk_step(nmq_walk *walk)
{
    if (walk->over) {
        return false;
    }
    if (walk->begun) {
        nmq_clock_pause();
    }
    walk->begun = true;
    walk->left = NMQ_WALK_VISITS;
    return true;
}

// Whether it goes on behind a full page, for the total.
static bool
counts(const nmq_walk *walk)
{
    return walk->filtered && walk->query->count && walk->query->cursor == 0;
}

static bool
is_full(const nmq_walk *walk)
{
    return walk->page->count >= walk->query->limit || nmq_page_fill_is_heavy(walk->page);
}

bool
nmq_walk_ends_at(nmq_walk *walk, uint32_t place)
{
    if (!is_full(walk) || counts(walk)) {
        return false;
    }
    walk->page->next = place + 1;
    walk->over = true;
    return true;
}

// Without a filter the offset is a number of places. Sets `over` where there are not so
// many.
static void
jump(nmq_walk *walk, const nmq_places *places)
{
    uint32_t rank = nmq_places_rank(places, walk->at);
    uint32_t rows = walk->query->backward ? rank : places->count - rank;

    if (walk->skip >= rows) {
        walk->over = true;
    } else if (walk->skip > 0) {
        walk->at = walk->query->backward ? nmq_places_nth(places, rank - walk->skip - 1) + 1
                                         : nmq_places_nth(places, rank + walk->skip);
    }
    walk->skip = 0;
}

static uint32_t
find(const nmq_walk *walk, const nmq_places *places)
{
    if (!walk->query->backward) {
        return nmq_places_next(places, walk->at);
    }
    uint32_t rank = nmq_places_rank(places, walk->at);
    return rank > 0 ? nmq_places_nth(places, rank - 1) : NMQ_NO_PLACE;
}

bool
nmq_walk_next(nmq_walk *walk, const nmq_places *places, uint32_t *place)
{
    if (!walk->filtered && !walk->page->has_total) {
        walk->page->has_total = true;
        walk->page->total = places->count;
        jump(walk, places);
    }
    if (walk->over || walk->left == 0) {
        return false;
    }
    uint32_t found = find(walk, places);
    if (found == NMQ_NO_PLACE) {
        walk->over = true;
        return false;
    }
    if (nmq_walk_ends_at(walk, found)) {
        return false;
    }
    walk->left--;
    walk->at = walk->query->backward ? found : found + 1;
    *place = found;
    return true;
}

bool
nmq_walk_wants(nmq_walk *walk, uint32_t place)
{
    walk->matched++;
    if (walk->skip > 0) {
        walk->skip--;
        return false;
    }
    if (is_full(walk)) {
        if (walk->page->next == 0) {
            walk->page->next = place + 1;
        }
        return false;
    }
    walk->left = walk->left > NMQ_WALK_ROW ? walk->left - NMQ_WALK_ROW : 0;
    return true;
}

void *
nmq_walk_row(nmq_walk *walk)
{
    void *row = nmq_page_fill_row(walk->page);

    if (row == NULL) {
        nmq_walk_fail(walk);
    }
    return row;
}

const char *
nmq_walk_text(nmq_walk *walk, nmq_bytes text)
{
    const char *copy = nmq_page_fill_text(walk->page, text);

    if (copy == NULL) {
        nmq_walk_fail(walk);
    }
    return copy;
}

int
nmq_walk_end(nmq_walk *walk, nmq_page **out)
{
    if (walk->status != NMQ_OK) {
        nmq_page_free(walk->page);
        return walk->status;
    }
    if (counts(walk)) {
        walk->page->has_total = true;
        walk->page->total = walk->matched;
    }
    *out = walk->page;
    return NMQ_OK;
}
