// queries.c - see queries.h.
//
// Promise: clients and the filter that are there throughout appear exactly once from cursor
// to cursor; first and last subscriptions of a filter come in turn, and those that were
// told as first and not as last are the routes that there are.
#include "queries.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "route/interest.h"

enum { QUERY_ROUNDS = 40, HEARD = 64, TEXT = 64, KINDS = NMQ_QUERY_RETAINED + 1 };

// Who hears of filters, and of which it heard as first. All lanes are held while it is
// told.
typedef struct {
    nmq_interest interest; // first
    char heard[HEARD][TEXT];
    int count;
} listener;

static listener whole; // from before the first client to the end

static void
changed(nmq_interest *interest, nmq_bytes filter, nmq_bytes group, bool first)
{
    listener *l = (listener *) interest;
    char text[TEXT];
    int at = 0;

    assert(filter.len + group.len + 1 < sizeof text);
    (void) snprintf(text, sizeof text, "%.*s %.*s", (int) group.len,
                    group.at != NULL ? (const char *) group.at : "", (int) filter.len,
                    (const char *) filter.at);
    while (at < l->count && strcmp(l->heard[at], text) != 0) {
        at++;
    }
    assert(first == (at == l->count)); // in turn
    if (first) {
        assert(l->count < HEARD);
        memcpy(l->heard[l->count++], text, sizeof text);
    } else {
        memcpy(l->heard[at], l->heard[--l->count], sizeof text);
    }
}

void
queries_begin(nmq_broker *broker)
{
    whole.interest.changed = changed;
    assert(nmq_interest_add(nmq_broker_router(broker), &whole.interest) == NMQ_OK);
}

// How many rows of the page are of what stays: the two ends of the flow, or its filter.
static int
count_stays(uint8_t kind, const nmq_page *page)
{
    int stays = 0;

    for (uint32_t n = 0; n < page->count; n++) {
        const char *text =
            kind == NMQ_QUERY_CLIENTS         ? nmq_page_clients(page)[n].client_id
            : kind == NMQ_QUERY_SESSIONS      ? nmq_page_sessions(page)[n].client_id
            : kind == NMQ_QUERY_DETAILS       ? nmq_page_details(page)[n].client.client_id
            : kind == NMQ_QUERY_SUBSCRIPTIONS ? nmq_page_subscriptions(page)[n].text
            : kind == NMQ_QUERY_ROUTES        ? nmq_page_routes(page)[n].filter
                                              : nmq_page_retained(page)[n].topic_name;
        assert(strlen(text) > 0);
        stays += strncmp(text, "flow-", 5) == 0 || strcmp(text, "m/flow") == 0;
    }
    return stays;
}

static void
walk(nmq_broker *broker, nmq_query query)
{
    int stays = 0;

    do {
        nmq_page *page = NULL;
        assert(nmq_broker_query(broker, &query, &page) == NMQ_OK);
        assert(page->count <= query.limit);
        stays += count_stays(query.kind, page);
        query.cursor = page->next;
        nmq_page_free(page);
    } while (query.cursor != 0);
    assert(stays == (query.kind <= NMQ_QUERY_DETAILS    ? 2
                     : query.kind == NMQ_QUERY_RETAINED ? 0
                                                        : 1));
}

// Asks for what is somewhere in the middle, and what filters let in.
static void
look(nmq_broker *broker, uint8_t kind, uint32_t round)
{
    const nmq_query somewhere = {.kind = kind, .offset = round, .limit = round};
    const nmq_query of_one = {.kind = kind, .client_id = {"c1", 2}, .limit = 10};
    const nmq_query below = {.kind = kind, .below = {"m/#", 3}, .count = true};
    const nmq_query *asked[] = {
        &somewhere, kind <= NMQ_QUERY_SUBSCRIPTIONS ? &of_one : NULL,
        kind == NMQ_QUERY_SUBSCRIPTIONS || kind == NMQ_QUERY_ROUTES ? &below : NULL};

    for (size_t n = 0; n < sizeof asked / sizeof *asked; n++) {
        nmq_page *page = NULL;
        if (asked[n] != NULL) {
            assert(nmq_broker_query(broker, asked[n], &page) == NMQ_OK);
            nmq_page_free(page);
        }
    }
}

void *
queries_ask(void *arg)
{
    nmq_broker *broker = arg;

    for (uint32_t round = 0; round < QUERY_ROUNDS; round++) {
        listener passing = {.interest.changed = changed};
        assert(nmq_interest_add(nmq_broker_router(broker), &passing.interest) == NMQ_OK);
        for (uint8_t kind = 0; kind < KINDS; kind++) {
            nmq_query query = {.kind = kind, .limit = 1 + round % 7};
            query.limit += kind == NMQ_QUERY_RETAINED ? 500 : 0;
            query.backward = round % 2 == 1;
            walk(broker, query);
            look(broker, kind, round);
        }
        nmq_interest_remove(nmq_broker_router(broker), &passing.interest);
    }
    return NULL;
}

void
queries_end(nmq_broker *broker)
{
    const nmq_query query = {.kind = NMQ_QUERY_ROUTES, .limit = HEARD};
    nmq_page *page = NULL;

    assert(nmq_broker_query(broker, &query, &page) == NMQ_OK);
    assert(page->next == 0 && page->count == (uint32_t) whole.count);
    for (uint32_t n = 0; n < page->count; n++) {
        const nmq_route_row *row = &nmq_page_routes(page)[n];
        const nmq_bytes filter = {(const uint8_t *) row->filter, row->filter_len};
        const nmq_bytes group = {(const uint8_t *) row->group, row->group_len};
        changed(&whole.interest, filter, group, false); // it was heard of
    }
    assert(whole.count == 0);
    nmq_page_free(page);
    nmq_interest_remove(nmq_broker_router(broker), &whole.interest);
}
