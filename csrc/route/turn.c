#include "route/turn.h"

enum {
    LINKS_MIN = 4,       // fewer are flushed faster than another batch is looked for
    MESSAGES_MAX = 2048, // about a millisecond of work
    BATCHES_MAX = 16,
};

typedef struct {
    nmq_link *first;
    nmq_link *last;
    uint64_t messages;
    unsigned links;
    unsigned batches;
    bool is_on;
} turn;

static _Thread_local turn mine;

static void
flush(nmq_link *first)
{
    while (first != NULL) {
        nmq_link *link = first;
        first = link->next_flush; // flush may give it to another list
        link->ops->flush(link);
        nmq_link_unref(link);
    }
}

void
nmq_turn_begin(void)
{
    mine = (turn){.is_on = true};
}

bool
nmq_turn_goes_on(void)
{
    return mine.links >= LINKS_MIN && mine.messages < MESSAGES_MAX &&
           ++mine.batches < BATCHES_MAX;
}

bool
nmq_turn_is_full(uint64_t messages)
{
    return mine.first != NULL && mine.messages + messages >= MESSAGES_MAX;
}

// What a flush leads to is flushed at once, unless the turn goes on.
static void
flush_all(bool goes_on)
{
    nmq_link *first = mine.first;

    mine.is_on = goes_on;
    mine.first = mine.last = NULL;
    flush(first);
}

void
nmq_turn_end(void)
{
    flush_all(false);
}

static void
append(nmq_link *first, nmq_link *last)
{
    if (mine.last != NULL) {
        mine.last->next_flush = first;
    } else {
        mine.first = first;
    }
    mine.last = last;
    for (const nmq_link *l = first; l != NULL && mine.links < LINKS_MIN;
         l = l->next_flush) {
        mine.links++;
    }
}

void
nmq_turn_flush(nmq_link *first, nmq_link *last, uint64_t messages)
{
    if (!mine.is_on) {
        flush(first);
        return;
    }
    if (first != NULL) {
        append(first, last);
    }
    mine.messages += messages;
    if (mine.messages >= MESSAGES_MAX) {
        flush_all(true);
    }
}
