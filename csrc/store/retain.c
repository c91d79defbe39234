#include "store/retain.h"

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"
#include "store/levels.h"

typedef struct {
    nmq_level level; // first: see levels.h
    nmq_message *message;
    uint32_t heap_at; // one more than its place in the heap, 0: not there
} node;

// Messages that expire also lie in a binary heap, the earliest on top.
struct nmq_retain {
    node root;
    size_t count;
    uint64_t bytes; // of the messages
    node **heap;
    uint32_t heap_count;
    uint32_t heap_cap;
};

nmq_retain *
nmq_retain_new(void)
{
    return nmq_zalloc(sizeof(nmq_retain));
}

static void
node_fini(nmq_level *level)
{
    nmq_message_unref(((node *) level)->message);
}

void
nmq_retain_free(nmq_retain *retain)
{
    if (retain != NULL) {
        nmq_level_clear(&retain->root.level, node_fini);
        nmq_free(retain->heap);
        nmq_free(retain);
    }
}

static void
prune(nmq_retain *retain, node *n)
{
    while (n != &retain->root && n->level.child_count == 0 && n->message == NULL) {
        n = (node *) nmq_level_remove(&n->level);
    }
}

static void
heap_place(nmq_retain *retain, uint32_t at, node *n)
{
    retain->heap[at] = n;
    n->heap_at = at + 1;
}

static bool
is_earlier(const node *a, const node *b)
{
    return a->message->expires_at_ms < b->message->expires_at_ms;
}

// Moves the node from place `at`, which is free, up or down to where it belongs.
static void
heap_settle(nmq_retain *retain, uint32_t at, node *n)
{
    while (at > 0 && is_earlier(n, retain->heap[(at - 1) / 2])) {
        heap_place(retain, at, retain->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (uint32_t child = 2 * at + 1; child < retain->heap_count; child = 2 * at + 1) {
        if (child + 1 < retain->heap_count &&
            is_earlier(retain->heap[child + 1], retain->heap[child])) {
            child++;
        }
        if (!is_earlier(retain->heap[child], n)) {
            break;
        }
        heap_place(retain, at, retain->heap[child]);
        at = child;
    }
    heap_place(retain, at, n);
}

static int
heap_reserve(nmq_retain *retain)
{
    if (retain->heap_count < retain->heap_cap) {
        return NMQ_OK;
    }
    uint32_t cap = retain->heap_cap == 0 ? 16 : retain->heap_cap * 2;
    node **grown = nmq_resize(retain->heap, cap * sizeof *grown);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    retain->heap = grown;
    retain->heap_cap = cap;
    return NMQ_OK;
}

static void
heap_remove(nmq_retain *retain, node *n)
{
    if (n->heap_at == 0) {
        return;
    }
    uint32_t at = n->heap_at - 1;
    node *last = retain->heap[--retain->heap_count];
    n->heap_at = 0;
    if (last != n) {
        heap_settle(retain, at, last);
    }
}

// Call with room in the heap for one more.
static void
set_message(nmq_retain *retain, node *n, nmq_message *message)
{
    heap_remove(retain, n);
    retain->count += (message != NULL) - (size_t) (n->message != NULL);
    retain->bytes += (message != NULL ? nmq_message_size(message) : 0) -
                     (n->message != NULL ? nmq_message_size(n->message) : 0);
    nmq_message_unref(n->message);
    n->message = message;
    if (message != NULL && message->expires_at_ms != 0) {
        heap_settle(retain, retain->heap_count++, n);
    }
}

// The message under the topic, NULL: none.
static const nmq_message *
find(const nmq_retain *retain, nmq_bytes topic_name)
{
    const nmq_level *at = &retain->root.level;
    nmq_bytes level;

    while (at != NULL && nmq_topic_next_level(&topic_name, &level)) {
        at = nmq_level_find(at, level, nmq_level_hash(level));
    }
    return at != NULL ? ((const node *) at)->message : NULL;
}

bool
nmq_retain_fits(const nmq_retain *retain, const nmq_message *message,
                const nmq_retain_bounds *bounds)
{
    uint64_t size = nmq_message_size(message);
    bool count_fits = bounds->count == 0 || retain->count < bounds->count;
    bool bytes_fit =
        !bounds->no_growth && (bounds->bytes == 0 || retain->bytes + size <= bounds->bytes);

    if (message->payload_len == 0 || (count_fits && bytes_fit && !bounds->no_change)) {
        return true;
    }
    const nmq_message *old = find(retain, nmq_message_topic(message));
    return old != NULL && !bounds->no_change &&
           (bytes_fit || size <= nmq_message_size(old));
}

int
nmq_retain_put(nmq_retain *retain, nmq_message *message)
{
    node *n = &retain->root;
    nmq_bytes rest = nmq_message_topic(message);
    nmq_bytes level;
    bool keep = message->payload_len > 0;

    if (keep && message->expires_at_ms != 0 && heap_reserve(retain) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    while (nmq_topic_next_level(&rest, &level)) {
        uint32_t hash = nmq_level_hash(level);
        nmq_level *child = nmq_level_find(&n->level, level, hash);
        if (child == NULL && !keep) {
            return NMQ_OK; // nothing there to remove
        }
        if (child == NULL) {
            child = nmq_level_add(&n->level, level, hash, sizeof(node));
        }
        if (child == NULL) {
            prune(retain, n);
            return NMQ_ENOMEM;
        }
        n = (node *) child;
    }
    set_message(retain, n, keep ? nmq_message_ref(message) : NULL);
    prune(retain, n);
    return NMQ_OK;
}

int64_t
nmq_retain_sweep(nmq_retain *retain, int64_t now_ms)
{
    while (retain->heap_count > 0) {
        node *first = retain->heap[0];
        if (!nmq_message_is_expired(first->message, now_ms)) {
            return first->message->expires_at_ms;
        }
        set_message(retain, first, NULL);
        prune(retain, first);
    }
    return 0;
}

int
nmq_messages_put(nmq_messages *out, nmq_message *message)
{
    if (out->count == out->cap) {
        size_t cap = out->cap == 0 ? 16 : out->cap * 2;
        nmq_message **grown = nmq_resize(out->at, cap * sizeof *grown);
        if (grown == NULL) {
            return NMQ_ENOMEM;
        }
        out->at = grown;
        out->cap = cap;
    }
    out->at[out->count++] = nmq_message_ref(message);
    return NMQ_OK;
}

static int
take(node *n, int64_t now_ms, nmq_messages *out)
{
    if (n->message == NULL || nmq_message_is_expired(n->message, now_ms)) {
        return NMQ_OK;
    }
    return nmq_messages_put(out, n->message);
}

// The next node of the subtree of `top` in pre-order, NULL behind its last. Wildcards do
// not enter the levels of the root that begin with "$" [MQTT-4.7.2-1].
static node *
next_in_subtree(const nmq_level *top, nmq_level *at)
{
    nmq_level *next = nmq_level_next(at, NULL);

    while (next == NULL && at != top) {
        next = nmq_level_next(at->parent, at);
        at = at->parent;
    }
    return (node *) next;
}

static bool
is_hidden(const nmq_retain *retain, const nmq_level *level)
{
    return level->parent == &retain->root.level &&
           nmq_topic_is_hidden(nmq_level_name(level));
}

// Takes the whole subtree, top too ("a/#" matches "a", 4.7.1.2).
static int
take_subtree(nmq_retain *retain, node *top, int64_t now_ms, nmq_messages *out)
{
    node *n = top;

    while (n != NULL) {
        if (top == &retain->root && is_hidden(retain, &n->level)) {
            // Step over the hidden subtree: to its next sibling.
            n = (node *) nmq_level_next(&retain->root.level, &n->level);
            continue;
        }
        if (take(n, now_ms, out) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        n = next_in_subtree(&top->level, &n->level);
    }
    return NMQ_OK;
}

// Follows one filter down the tree, level by level and without recursion: `open` are the
// nodes that the levels so far led to.
typedef struct {
    nmq_retain *retain;
    nmq_messages *out;
    int64_t now_ms;
    node **open; // this level's branches, then the next level's
    size_t count;
    size_t cap;
} search;

static int
open_branch(search *s, size_t index, node *n)
{
    if (index >= s->cap) {
        size_t cap = s->cap == 0 ? 16 : s->cap * 2;
        node **grown = nmq_resize(s->open, cap * sizeof *grown);
        if (grown == NULL) {
            return NMQ_ENOMEM;
        }
        s->open = grown;
        s->cap = cap;
    }
    s->open[index] = n;
    return NMQ_OK;
}

static int
descend_plus(search *s, const node *n, size_t *next)
{
    nmq_level *child = NULL;

    while ((child = nmq_level_next(&n->level, child)) != NULL) {
        if (!is_hidden(s->retain, child) &&
            open_branch(s, s->count + (*next)++, (node *) child) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    return NMQ_OK;
}

static int
descend(search *s, nmq_bytes level)
{
    size_t next = 0;
    uint32_t hash = nmq_level_hash(level);

    for (size_t i = 0; i < s->count; i++) {
        node *n = s->open[i];
        if (nmq_level_is(level, '+')) {
            if (descend_plus(s, n, &next) != NMQ_OK) {
                return NMQ_ENOMEM;
            }
            continue;
        }
        nmq_level *child = nmq_level_find(&n->level, level, hash);
        if (child != NULL && open_branch(s, s->count + next++, (node *) child) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    for (size_t i = 0; i < next; i++) {
        s->open[i] = s->open[s->count + i];
    }
    s->count = next;
    return NMQ_OK;
}

static int
search_run(search *s, nmq_bytes filter)
{
    nmq_bytes level;
    int rv = open_branch(s, 0, &s->retain->root);

    s->count = 1;
    while (rv == NMQ_OK && nmq_topic_next_level(&filter, &level)) {
        if (nmq_level_is(level, '#')) {
            for (size_t i = 0; rv == NMQ_OK && i < s->count; i++) {
                rv = take_subtree(s->retain, s->open[i], s->now_ms, s->out);
            }
            return rv;
        }
        rv = descend(s, level);
    }
    for (size_t i = 0; rv == NMQ_OK && i < s->count; i++) {
        rv = take(s->open[i], s->now_ms, s->out);
    }
    return rv;
}

// Memory is out: what was handed out goes back.
static int
give_back(nmq_messages *out, size_t before)
{
    while (out->count > before) {
        nmq_message_unref(out->at[--out->count]);
    }
    if (before == 0) {
        nmq_messages_free(out);
    }
    return NMQ_ENOMEM;
}

int
nmq_retain_all(nmq_retain *retain, int64_t now_ms, nmq_messages *out)
{
    size_t before = out->count;

    for (node *n = &retain->root; n != NULL;
         n = next_in_subtree(&retain->root.level, &n->level)) {
        if (take(n, now_ms, out) != NMQ_OK) {
            return give_back(out, before);
        }
    }
    return (int) (out->count - before);
}

int
nmq_retain_match(nmq_retain *retain, nmq_bytes topic_filter, int64_t now_ms,
                 nmq_messages *out)
{
    search s = {.retain = retain, .out = out, .now_ms = now_ms};
    size_t before = out->count;
    int rv = search_run(&s, topic_filter);

    nmq_free(s.open);
    if (rv == NMQ_OK) {
        return (int) (out->count - before);
    }
    return give_back(out, before);
}

void
nmq_messages_free(nmq_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        nmq_message_unref(messages->at[i]);
    }
    nmq_free(messages->at);
    *messages = (nmq_messages){0};
}

size_t
nmq_retain_count(const nmq_retain *retain)
{
    return retain->count;
}

uint64_t
nmq_retain_bytes(const nmq_retain *retain)
{
    return retain->bytes;
}
