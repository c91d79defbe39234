// Promise: after any sequence of subscribing, leaving, keeping and removing, the
// subscription tree and the retained tree find exactly what a list with the rule of 4.7
// finds, and give back all memory.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/retain_cursor.h"
#include "store/topic_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 24, ENTRIES = 256, TEXT_BYTES = 64, LEVELS_MAX = 6 };

typedef struct {
    char text[TEXT_BYTES];
} text;

typedef struct {
    text filter; // as subscribed, "$share" and all
    uintptr_t client;
    uint8_t options;
} subscribed;

typedef struct {
    subscribed subs[ENTRIES];
    size_t sub_count;
    text kept[ENTRIES];
    size_t kept_count;
    nmq_tree *tree;
    nmq_retain *retain;
    nmq_retain_cursor *cursor; // of a walk under way
    size_t most;               // that it may still find
    nmq_bytes in;
} world;

static uint8_t
next(world *w)
{
    if (w->in.len == 0) {
        return 0;
    }
    w->in.len--;
    return *w->in.at++;
}

// A topic of few levels with few names, so that they meet.
static text
next_topic(world *w, bool wildcards)
{
    static const char *const names[] = {"a", "b", "", "$x", "ab", "c", "+", "#"};
    text t = {""};
    unsigned levels = next(w) % LEVELS_MAX + 1;

    for (unsigned i = 0; i < levels; i++) {
        unsigned n = next(w) % (wildcards ? 8u : 6u);
        (void) strcat(t.text, i > 0 ? "/" : "");
        (void) strcat(t.text, names[n]);
        if (n == 7) {
            break;
        }
    }
    if (t.text[0] == 0) {
        (void) strcpy(t.text, "a");
    }
    return t;
}

static text
next_filter(world *w)
{
    static const char *const groups[] = {"", "", "", "$share/g/", "$share/h/"};
    text t = {""};

    (void) strcpy(t.text, groups[next(w) % 5]);
    (void) strcat(t.text, next_topic(w, true).text);
    return t;
}

// --- the rule

static const char *
bare(const char *filter)
{
    return strncmp(filter, "$share/", 7) == 0 ? strchr(filter + 7, '/') + 1 : filter;
}

static bool
matches(const char *filter, const char *topic, bool first)
{
    size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");
    bool hidden = first && topic[0] == '$';

    if (filter[0] == '#' && f == 1) {
        return !hidden;
    }
    bool same = f == t && memcmp(filter, topic, f) == 0;
    if (!same && !(filter[0] == '+' && f == 1 && !hidden)) {
        return false;
    }
    if (topic[t] == 0) {
        return filter[f] == 0 || strcmp(filter + f, "/#") == 0;
    }
    return filter[f] != 0 && matches(filter + f + 1, topic + t + 1, false);
}

// --- subscriptions

static nmq_filter
parsed(const text *filter)
{
    nmq_filter out;

    assert(nmq_filter_parse(nmq_bytes_of(filter->text), &out) == NMQ_OK);
    return out;
}

static subscribed *
find(world *w, const text *filter, uintptr_t client)
{
    for (size_t i = 0; i < w->sub_count; i++) {
        if (w->subs[i].client == client &&
            strcmp(w->subs[i].filter.text, filter->text) == 0) {
            return &w->subs[i];
        }
    }
    return NULL;
}

static void
subscribe(world *w)
{
    text filter = next_filter(w);
    uintptr_t client = next(w) % CLIENTS + 1u;
    uint8_t options = next(w) & 3;
    nmq_filter f = parsed(&filter);
    nmq_subscription sub = {.client = (void *) client, .options = options};
    subscribed *there = find(w, &filter, client);

    if (there == NULL && w->sub_count == ENTRIES) {
        return;
    }
    int rv = nmq_tree_put(w->tree, &f, &sub);
    assert(rv == (there == NULL));
    if (there == NULL) {
        there = &w->subs[w->sub_count++];
    }
    *there = (subscribed){filter, client, options};
}

static void
leave(world *w)
{
    subscribed chosen = {{"nobody/here"}, 1, 0};
    uint8_t n = next(w);

    if (w->sub_count > 0 && n % 8 != 0) {
        chosen = w->subs[n % w->sub_count];
    }
    nmq_filter f = parsed(&chosen.filter);
    int rv = nmq_tree_del(w->tree, &f, (void *) chosen.client);
    subscribed *there = find(w, &chosen.filter, chosen.client);
    assert((rv == NMQ_OK) == (there != NULL));
    if (there != NULL) {
        *there = w->subs[--w->sub_count];
    }
}

// Sums that do not depend on the order.
typedef struct {
    size_t count;
    uint64_t sum;
} tally;

static void
count_in(tally *t, uintptr_t client, uint8_t options)
{
    t->count++;
    t->sum += (uint64_t) client * 1000003 + options * 7919u;
}

// What the tree found, shared or not: the one place that knows how it says so.
static tally
found_by_tree(const nmq_matches *m)
{
    tally t = {0};

    for (uint32_t i = 0; m->found != NULL && i < m->found->count; i++) {
        count_in(&t, (uintptr_t) m->found->at[i].client, m->found->at[i].options);
    }
    for (uint32_t g = 0; g < m->group_count; g++) {
        const nmq_subscriptions *members = m->groups[g]->members;
        for (uint32_t i = 0; i < members->count; i++) {
            count_in(&t, (uintptr_t) members->at[i].client, members->at[i].options);
        }
    }
    return t;
}

static void
match(world *w, nmq_matches *m)
{
    text topic = next_topic(w, false);
    tally expected = {0};

    for (size_t i = 0; i < w->sub_count; i++) {
        if (matches(bare(w->subs[i].filter.text), topic.text, true)) {
            count_in(&expected, w->subs[i].client, w->subs[i].options);
        }
    }
    assert(nmq_tree_match(w->tree, nmq_bytes_of(topic.text), m) == NMQ_OK);
    tally found = found_by_tree(m);
    assert(found.count == expected.count && found.sum == expected.sum);
    assert(nmq_tree_count(w->tree) == w->sub_count);
}

// --- retained messages

static void
keep(world *w)
{
    text topic = next_topic(w, false);
    bool remove = next(w) % 3 == 0;
    nmq_message_parts parts = {.topic_name = nmq_bytes_of(topic.text), .retain = true};
    size_t at = 0;

    parts.payload = nmq_bytes_of(remove ? "" : "x");
    while (at < w->kept_count && strcmp(w->kept[at].text, topic.text) != 0) {
        at++;
    }
    if (at == ENTRIES) {
        return;
    }
    nmq_message *message = nmq_message_new(&parts);
    assert(message != NULL && nmq_retain_put(w->retain, message) == NMQ_OK);
    nmq_message_unref(message);
    if (remove && at < w->kept_count) {
        w->kept[at] = w->kept[--w->kept_count];
    } else if (!remove && at == w->kept_count) {
        w->kept[w->kept_count++] = topic;
    }
    assert(nmq_retain_count(w->retain) == w->kept_count);
}

static size_t
step(world *w, nmq_retain_cursor *cursor, uint32_t visits)
{
    nmq_message *messages[2];
    int n = nmq_retain_step(w->retain, cursor, 1, &visits, messages, 2);

    assert(n >= 0 && n <= 2);
    for (int i = 0; i < n; i++) {
        nmq_message_unref(messages[i]);
    }
    return (size_t) n;
}

static void
look_up(world *w)
{
    text filter = next_topic(w, true);
    nmq_retain_cursor *cursor = nmq_retain_open(w->retain, nmq_bytes_of(filter.text));
    size_t expected = 0;
    size_t found = 0;

    assert(cursor != NULL);
    for (size_t i = 0; i < w->kept_count; i++) {
        expected += matches(filter.text, w->kept[i].text, true);
    }
    while (!nmq_retain_is_over(cursor)) {
        found += step(w, cursor, 3);
    }
    assert(found == expected);
    nmq_retain_close(w->retain, cursor);
}

// A walk goes on while the store changes. What is stored meanwhile is not its own, so that
// it never finds more than there was.
static void
walk(world *w)
{
    bool ends = next(w) % 4 == 0;

    if (w->cursor == NULL) {
        text filter = next_topic(w, true);
        w->cursor = nmq_retain_open(w->retain, nmq_bytes_of(filter.text));
        assert(w->cursor != NULL);
        w->most = w->kept_count;
    }
    size_t found = step(w, w->cursor, 1 + next(w) % 4);
    assert(found <= w->most);
    w->most -= found;
    if (ends || nmq_retain_is_over(w->cursor)) {
        nmq_retain_close(w->retain, w->cursor);
        w->cursor = NULL;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w;
    nmq_matches m = {0};

    w = (world){.tree = nmq_tree_new(), .retain = nmq_retain_new(), .in = {data, size}};
    assert(w.tree != NULL && w.retain != NULL);
    while (w.in.len > 0) {
        switch (next(&w) % 9) {
        case 0:
        case 1:
        case 2: subscribe(&w); break;
        case 3: leave(&w); break;
        case 4: match(&w, &m); break;
        case 5:
        case 6: keep(&w); break;
        case 7: walk(&w); break;
        default: look_up(&w); break;
        }
    }
    nmq_matches_free(&m);
    nmq_retain_close(w.retain, w.cursor);
    nmq_tree_free(w.tree);
    nmq_retain_free(w.retain);
    assert(nmq_mem_live() == 0);
    return 0;
}
