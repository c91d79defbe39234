// costs.c - what a match, a SUBSCRIBE and a leave cost, by how many there are already.
//
//     costs subscribers N    N clients with one filter in common, each with one of its own
//     costs filters N        one client with N filters
//
// One line of JSON on stdout. Each figure is of CHANGES changes at that size, in an order
// that meets early and late ones, and leaves the size as it was: `subscribe` adds one,
// `again` replaces one, `unsubscribe` takes one out. `leave` is the whole session of one
// client that ends (subscribers), or of the one with all filters, by filter (filters).
// `match` finds a subscription of each client; per one that is found.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/session.h"
#include "store/session_subs.h"
#include "store/topic_tree.h"

enum { CHANGES = 2000, FOUND_IN_ALL = 2000000, MATCHES_MAX = 200000, TEXT = 64 };

typedef struct {
    nmq_tree *tree;
    nmq_session **sessions;
    unsigned n;     // of subscribers or filters
    bool is_one;    // session, with all the filters
    uint32_t count; // of sessions
} bench;

static double
now_s(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
print_figure(const char *name, double begun_s, uint64_t count)
{
    printf("\"%s_ns\":%.1f,", name, (now_s() - begun_s) * 1e9 / (double) count);
}

static void *
must(void *made)
{
    if (made == NULL) {
        abort();
    }
    return made;
}

// The session and the filter of subscription i, of which there are n and CHANGES more.
static nmq_session *
place_of(const bench *b, unsigned i, char text[TEXT])
{
    if (b->is_one) {
        (void) snprintf(text, TEXT, "site/%u/device/%08u", i / 250, i);
        return b->sessions[0];
    }
    (void) snprintf(text, TEXT, "fleet/+/state");
    return b->sessions[i];
}

static void
put(const bench *b, unsigned i)
{
    char text[TEXT];
    nmq_session *session = place_of(b, i, text);
    nmq_bytes bytes = nmq_bytes_of(text);
    nmq_filter filter;
    nmq_subscription sub = {.client = session};

    if (nmq_filter_parse(bytes, &filter) != NMQ_OK) {
        abort();
    }
    int rv = nmq_tree_put(b->tree, &filter, &sub);
    if (rv < 0 || nmq_session_sub_put(session, &filter, 0, 0, rv == 1) != NMQ_OK) {
        abort();
    }
}

// Of the tree alone. Returns whose it was.
static nmq_session *
take_out(const bench *b, unsigned i)
{
    char text[TEXT];
    nmq_session *session = place_of(b, i, text);
    nmq_filter filter;

    if (nmq_filter_parse(nmq_bytes_of(text), &filter) != NMQ_OK ||
        nmq_tree_del(b->tree, &filter, session) != NMQ_OK) {
        abort();
    }
    return session;
}

static void
del(const bench *b, unsigned i)
{
    char text[TEXT];
    nmq_session *session = take_out(b, i);

    (void) place_of(b, i, text);
    nmq_session_sub_del(session, nmq_bytes_of(text));
}

// The kth change concerns one from all over those that there are.
static unsigned
spread(const bench *b, unsigned k)
{
    return (unsigned) ((uint64_t) k * 2654435761u % b->n);
}

static void
measure_changes(const bench *b)
{
    double begun_s = now_s();
    for (unsigned k = 0; k < CHANGES; k++) {
        put(b, b->n + k);
    }
    print_figure("subscribe", begun_s, CHANGES);
    begun_s = now_s();
    for (unsigned k = 0; k < CHANGES; k++) {
        put(b, spread(b, k));
    }
    print_figure("again", begun_s, CHANGES);
    begun_s = now_s();
    for (unsigned k = 0; k < CHANGES; k++) {
        del(b, b->n + k);
    }
    print_figure("unsubscribe", begun_s, CHANGES);
}

static void
measure_match(const bench *b)
{
    nmq_matches matches = {0};
    char text[TEXT];
    unsigned each = b->is_one ? 1 : b->n;
    unsigned times = FOUND_IN_ALL / each + 1;
    uint64_t found = 0;

    times = times > MATCHES_MAX ? MATCHES_MAX : times;
    double begun_s = now_s();
    for (unsigned k = 0; k < times; k++) {
        // not the same topic twice in a row: that is not looked up again
        if (b->is_one) {
            (void) place_of(b, spread(b, k), text);
        } else {
            (void) snprintf(text, TEXT, "fleet/%u/state", k % 97);
        }
        if (nmq_tree_match(b->tree, nmq_bytes_of(text), &matches) != NMQ_OK) {
            abort();
        }
        found += matches.found->count;
    }
    print_figure("match", begun_s, found);
    nmq_matches_free(&matches);
}

// All leave, the first to come first, as sessions do that end.
static void
measure_leave(const bench *b)
{
    double begun_s = now_s();

    for (unsigned i = 0; i < b->n; i++) {
        nmq_session *session = take_out(b, i);
        if (!b->is_one || i + 1 == b->n) {
            nmq_session_free(session);
        }
    }
    print_figure("leave", begun_s, b->n);
    printf("\"left\":%zu}\n", nmq_tree_count(b->tree));
}

int
main(int argc, char **argv)
{
    bench b = {.n = argc == 3 ? (unsigned) strtoul(argv[2], NULL, 10) : 0};

    if (b.n == 0) {
        fputs("costs subscribers|filters N\n", stderr);
        return 2;
    }
    b.is_one = strcmp(argv[1], "filters") == 0;
    b.count = b.is_one ? 1 : b.n + CHANGES;
    b.tree = must(nmq_tree_new());
    b.sessions = must(calloc(b.count, sizeof *b.sessions));
    for (uint32_t i = 0; i < b.count; i++) {
        b.sessions[i] = must(nmq_session_new(nmq_bytes_of("client")));
    }
    for (unsigned i = 0; i < b.n; i++) {
        put(&b, i);
    }
    printf("{\"n\":%u,", b.n);
    measure_changes(&b);
    measure_match(&b);
    measure_leave(&b);
    for (uint32_t i = b.is_one ? 1 : b.n; i < b.count; i++) {
        nmq_session_free(b.sessions[i]);
    }
    nmq_tree_free(b.tree);
    free(b.sessions);
    return 0;
}
