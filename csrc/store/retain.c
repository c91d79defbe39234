#include "store/retain.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"
#include "store/levels.h"

typedef struct node {
    nmq_level level; // first: see levels.h
    nmq_message *message;
    uint64_t stored;    // number of the store that put the message
    struct node *next;  // sibling; the last one's is NULL
    struct node *prev;  // sibling; the first one's is the last
    struct node *first; // child, in order of birth
    uint32_t heap_at;   // one more than its place in the heap, 0: not there
    uint32_t pins;      // cursors that stand here: it stays
} node;

// Messages that expire also lie in a binary heap, the earliest on top.
struct nmq_retain {
    node root;
    size_t count;
    uint64_t stored; // how many messages were put so far
    uint64_t bytes;  // of the messages
    node **heap;
    uint32_t heap_count;
    uint32_t heap_cap;
};

// Goes through the nodes that a filter can reach, in pre-order.
struct nmq_retain_cursor {
    node *at;          // pinned
    uint64_t stored;   // later messages are not its own
    uint32_t depth;    // of `at`: how many levels lead to it
    uint32_t levels;   // of the filter, without a "#" at its end
    bool multi;        // the filter ends with "#"
    bool over;         // nothing is left
    uint16_t text_len; // of the filter
    uint16_t starts[]; // of each level and of the end, in the text, which lies behind
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

static node *
parent_of(const node *n)
{
    return (node *) n->level.parent;
}

static void
link_child(node *parent, node *child)
{
    if (parent->first == NULL) {
        parent->first = child->prev = child;
    } else {
        child->prev = parent->first->prev;
        child->prev->next = child;
        parent->first->prev = child;
    }
}

static void
unlink_child(node *child)
{
    node *parent = parent_of(child);

    if (parent->first == child) {
        parent->first = child->next;
    } else {
        child->prev->next = child->next;
    }
    if (child->next != NULL) {
        child->next->prev = child->prev;
    } else if (parent->first != NULL) {
        parent->first->prev = child->prev;
    }
}

static void
prune(nmq_retain *retain, node *n)
{
    while (n != &retain->root && n->level.child_count == 0 && n->message == NULL &&
           n->pins == 0) {
        unlink_child(n);
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
            if (child != NULL) {
                link_child(n, (node *) child);
            }
        }
        if (child == NULL) {
            prune(retain, n);
            return NMQ_ENOMEM;
        }
        n = (node *) child;
    }
    set_message(retain, n, keep ? nmq_message_ref(message) : NULL);
    n->stored = ++retain->stored;
    prune(retain, n);
    return NMQ_OK;
}

int64_t
nmq_retain_sweep(nmq_retain *retain, int64_t now_ms, uint32_t most)
{
    while (retain->heap_count > 0) {
        node *first = retain->heap[0];
        if (most-- == 0 || !nmq_message_is_expired(first->message, now_ms)) {
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

// --- cursors

static nmq_bytes
text_of(const nmq_retain_cursor *c)
{
    return (nmq_bytes){(const uint8_t *) &c->starts[c->levels + 1], c->text_len};
}

static nmq_bytes
level_of(const nmq_retain_cursor *c, uint32_t index)
{
    uint16_t start = c->starts[index];

    // The end of a filter of 65,535 bytes is 65,536, kept as 0.
    return (nmq_bytes){text_of(c).at + start,
                       (uint16_t) (c->starts[index + 1] - start - 1)};
}

// Counts the levels of the filter, without a "#" at its end.
static uint32_t
count_levels(nmq_bytes filter, bool *multi)
{
    uint32_t count = 0;
    nmq_bytes level;

    *multi = false;
    while (nmq_topic_next_level(&filter, &level)) {
        *multi = nmq_level_is(level, '#');
        count += !*multi;
    }
    return count;
}

nmq_retain_cursor *
nmq_retain_open(nmq_retain *retain, nmq_bytes filter)
{
    bool multi;
    uint32_t levels = count_levels(filter, &multi);
    size_t starts = (levels + 1) * sizeof(uint16_t);
    nmq_retain_cursor *c = nmq_alloc(sizeof *c + starts + filter.len);
    uint16_t at = 0;
    nmq_bytes rest = filter;
    nmq_bytes level;

    if (c == NULL) {
        return NULL;
    }
    *c = (nmq_retain_cursor){
        .at = &retain->root,
        .stored = retain->stored,
        .levels = levels,
        .multi = multi,
        .text_len = (uint16_t) filter.len,
    };
    memcpy(&c->starts[levels + 1], filter.at, filter.len);
    for (uint32_t i = 0; i <= levels; i++) {
        c->starts[i] = at;
        at = nmq_topic_next_level(&rest, &level) ? (uint16_t) (at + level.len + 1) : at;
    }
    retain->root.pins++;
    return c;
}

nmq_bytes
nmq_retain_cursor_filter(const nmq_retain_cursor *cursor)
{
    return text_of(cursor);
}

void
nmq_retain_close(nmq_retain *retain, nmq_retain_cursor *cursor)
{
    if (cursor != NULL) {
        cursor->at->pins--;
        prune(retain, cursor->at);
        nmq_free(cursor);
    }
}

// Wildcards do not let in the topics whose first level begins with "$" [MQTT-4.7.2-1].
static node *
visible(node *n, uint32_t depth)
{
    while (depth == 0 && n != NULL && nmq_topic_is_hidden(nmq_level_name(&n->level))) {
        n = n->next;
    }
    return n;
}

static bool
any_child_fits(const nmq_retain_cursor *c, uint32_t depth)
{
    return depth < c->levels ? nmq_level_is(level_of(c, depth), '+') : c->multi;
}

// The first child of a node of that depth that the filter lets in, or NULL.
static node *
first_child(const nmq_retain_cursor *c, const node *n, uint32_t depth)
{
    if (any_child_fits(c, depth)) {
        return visible(n->first, depth);
    }
    if (depth >= c->levels) {
        return NULL;
    }
    nmq_bytes level = level_of(c, depth);
    return (node *) nmq_level_find(&n->level, level, nmq_level_hash(level));
}

// Moves on by one node. Returns NULL behind the last.
static node *
move_on(nmq_retain_cursor *c, node *n)
{
    node *next = first_child(c, n, c->depth);

    if (next != NULL) {
        c->depth++;
        return next;
    }
    while (c->depth > 0) {
        next = any_child_fits(c, c->depth - 1) ? visible(n->next, c->depth - 1) : NULL;
        if (next != NULL) {
            return next;
        }
        n = parent_of(n);
        c->depth--;
    }
    return NULL;
}

// Whether the filter matches the topic of a node of that depth ("a/#" matches "a" too,
// 4.7.1.2).
static bool
fits(const nmq_retain_cursor *c)
{
    return c->depth == c->levels || (c->multi && c->depth > c->levels);
}

int
nmq_retain_step(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms,
                uint32_t *visits, nmq_message **out, uint32_t most)
{
    node *from = cursor->at;
    node *n = from;
    uint32_t count = 0;

    for (; n != NULL && *visits > 0 && count < most; --*visits) {
        n = move_on(cursor, n);
        if (n != NULL && n->message != NULL && fits(cursor) &&
            n->stored <= cursor->stored && !nmq_message_is_expired(n->message, now_ms)) {
            out[count++] = nmq_message_ref(n->message);
        }
    }
    cursor->over = n == NULL;
    cursor->at = n != NULL ? n : &retain->root;
    cursor->at->pins++;
    from->pins--;
    prune(retain, from);
    return (int) count;
}

bool
nmq_retain_is_over(const nmq_retain_cursor *cursor)
{
    return cursor->over;
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

    for (node *n = retain->root.first; n != NULL;) {
        if (n->message != NULL && !nmq_message_is_expired(n->message, now_ms) &&
            nmq_messages_put(out, n->message) != NMQ_OK) {
            return give_back(out, before);
        }
        node *next = n->first;
        while (next == NULL && n != &retain->root) {
            next = n->next;
            n = parent_of(n);
        }
        n = next;
    }
    return (int) (out->count - before);
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
