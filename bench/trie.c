// trie.c - what subscriptions cost in the tree: time to insert, match and remove, and
// bytes.
//
//     trie FILTERS      one line of JSON on stdout
//
// Filters are those of a fleet: "site/S/device/D/KIND", every twentieth with a "+", every
// twentieth with a "#". Topics that are matched meet the same few filters however many
// others there are, and are taken from all over the tree, so that caches are cold.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/topic_tree.h"

enum { MATCHES = 1000000, FEW = 100, KINDS = 4, DEVICES = 250, TEXT = 96 };

static double
now_s(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

// The nth filter. Devices are numbered through, as serial numbers are.
static nmq_filter
filter_of(unsigned n, char text[TEXT])
{
    static const char *const kinds[KINDS] = {"state", "command", "config", "event"};
    unsigned device = n / KINDS;
    const char *kind = n % 20 == 0 ? "+" : n % 20 == 7 ? "#" : kinds[n % KINDS];
    nmq_filter filter;

    (void) snprintf(text, TEXT, "site/%u/device/%08u/%s", device / DEVICES, device, kind);
    if (nmq_filter_parse(nmq_bytes_of(text), &filter) != NMQ_OK) {
        abort();
    }
    return filter;
}

// A Topic Name that meets the nth filter.
static nmq_bytes
topic_of(unsigned n, char text[TEXT])
{
    unsigned device = n / KINDS;

    (void) snprintf(text, TEXT, "site/%u/device/%08u/state", device / DEVICES, device);
    return nmq_bytes_of(text);
}

static void
print_figure(const char *name, double begun_s, unsigned count)
{
    printf("\"%s_ns\":%.1f,", name, (now_s() - begun_s) * 1e9 / count);
}

// Matches the first `different` topics over and over. Returns how many subscriptions that
// found.
static uint64_t
match_all(const nmq_tree *tree, nmq_matches *matches, char (*topics)[TEXT],
          unsigned different, const char *name)
{
    uint64_t found = 0;
    double begun_s = now_s();

    for (unsigned i = 0; i < MATCHES; i++) {
        if (nmq_tree_match(tree, nmq_bytes_of(topics[i % different]), matches) != NMQ_OK) {
            abort();
        }
        found += matches->found->count;
    }
    print_figure(name, begun_s, MATCHES);
    return found;
}

int
main(int argc, char **argv)
{
    unsigned count = argc == 2 ? (unsigned) strtoul(argv[1], NULL, 10) : 0;
    char text[TEXT];
    size_t text_bytes = 0;
    nmq_tree *tree = nmq_tree_new();
    nmq_matches matches = {0};
    char (*topics)[TEXT] = malloc((size_t) MATCHES * TEXT);
    uint64_t found;

    if (count == 0 || tree == NULL || topics == NULL) {
        fputs("trie FILTERS\n", stderr);
        return 2;
    }
    uint64_t before = nmq_mem_heap();
    double begun_s = now_s();
    for (unsigned n = 0; n < count; n++) {
        nmq_filter filter = filter_of(n, text);
        nmq_subscription sub = {.client = (void *) (uintptr_t) (n % 10000 + 1)};
        text_bytes += filter.filter.len;
        if (nmq_tree_put(tree, &filter, &sub) != 1) {
            abort();
        }
    }
    printf("{\"filters\":%u,", count);
    print_figure("insert", begun_s, count);
    printf("\"bytes_each\":%.1f,\"text_each\":%.1f,",
           (double) (nmq_mem_heap() - before - text_bytes) / count,
           (double) text_bytes / count);
    for (unsigned i = 0; i < MATCHES; i++) { // spread, and not in order
        (void) topic_of((unsigned) ((uint64_t) i * 2654435761u % count), topics[i]);
    }
    found = match_all(tree, &matches, topics, MATCHES, "match");
    (void) match_all(tree, &matches, topics, FEW, "match_hot");
    printf("\"found_each\":%.2f,", (double) found / MATCHES);
    begun_s = now_s();
    for (unsigned n = 0; n < count; n++) {
        nmq_filter filter = filter_of(n, text);
        if (nmq_tree_del(tree, &filter, (void *) (uintptr_t) (n % 10000 + 1)) != NMQ_OK) {
            abort();
        }
    }
    print_figure("remove", begun_s, count);
    printf("\"left\":%zu}\n", nmq_tree_count(tree));
    nmq_matches_free(&matches);
    nmq_tree_free(tree);
    free(topics);
    return 0;
}
