#include "store/retain_cursor.h"

#include <string.h>

#include "base/mem.h"
#include "mqtt/topic.h"
#include "store/retain_node.h"

// Goes through the nodes that a filter can reach, in pre-order.
struct nmq_retain_cursor {
    nmq_retain_node *at; // pinned
    uint64_t stored;     // order of the last message that it visits
    uint32_t depth;      // of `at`: how many levels lead to it
    uint32_t levels;     // of the filter, without a "#" at its end
    bool multi;          // the filter ends with "#"
    bool over;           // nothing is left
    bool here;           // `at` itself comes next
    uint16_t text_len;   // of the filter
    uint16_t starts[];   // of each level and of the end, in the text, which lies behind
};

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
        nmq_retain_node_prune(retain, cursor->at);
        nmq_free(cursor);
    }
}

// Wildcards do not let in the topics whose first level begins with "$" [MQTT-4.7.2-1].
static nmq_retain_node *
visible(nmq_retain_node *n, uint32_t depth)
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
static nmq_retain_node *
first_child(const nmq_retain_cursor *c, const nmq_retain_node *n, uint32_t depth)
{
    if (any_child_fits(c, depth)) {
        return visible(n->first, depth);
    }
    if (depth >= c->levels) {
        return NULL;
    }
    nmq_bytes level = level_of(c, depth);
    return (nmq_retain_node *) nmq_level_find(&n->level, level, nmq_level_hash(level));
}

// Moves on by one node. Returns NULL behind the last.
static nmq_retain_node *
move_on(nmq_retain_cursor *c, nmq_retain_node *n)
{
    nmq_retain_node *next = first_child(c, n, c->depth);

    if (next != NULL) {
        c->depth++;
        return next;
    }
    while (c->depth > 0) {
        next = any_child_fits(c, c->depth - 1) ? visible(n->next, c->depth - 1) : NULL;
        if (next != NULL) {
            return next;
        }
        n = nmq_retain_node_parent(n);
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

static bool
is_its_own(const nmq_retain_cursor *c, const nmq_retain_node *n, int64_t now_ms)
{
    return n->message != NULL && fits(c) && n->stored <= c->stored &&
           !nmq_message_is_expired(n->message, now_ms);
}

int
nmq_retain_step(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms,
                uint32_t *visits, nmq_message **out, uint32_t most)
{
    nmq_retain_node *from = cursor->at;
    nmq_retain_node *n = from;
    uint32_t count = 0;

    for (; n != NULL && *visits > 0; --*visits) {
        n = cursor->here ? n : move_on(cursor, n);
        cursor->here = false;
        if (n == NULL || !is_its_own(cursor, n, now_ms)) {
            continue;
        }
        if (count == most) { // it comes next time
            cursor->here = true;
            break;
        }
        out[count++] = nmq_message_ref(n->message);
    }
    cursor->over = n == NULL;
    cursor->at = n != NULL ? n : &retain->root;
    cursor->at->pins++;
    from->pins--;
    nmq_retain_node_prune(retain, from);
    return (int) count;
}

nmq_bytes
nmq_retain_next(nmq_retain *retain, nmq_retain_cursor *cursor, int64_t now_ms)
{
    uint32_t visits = UINT32_MAX;

    if (!cursor->over) {
        // A step for no messages stops before the next one. The message that the cursor
        // stood before may have gone meanwhile.
        (void) nmq_retain_step(retain, cursor, now_ms, &visits, NULL, 0);
    }
    return cursor->over ? (nmq_bytes){0} : nmq_message_topic(cursor->at->message);
}

uint64_t
nmq_retain_cursor_order(const nmq_retain_cursor *cursor)
{
    return cursor->stored;
}

// Whether the filter leads from a node of that depth to its child of that name.
static bool
leads_to(const nmq_retain_cursor *c, uint32_t depth, nmq_bytes level)
{
    return any_child_fits(c, depth)
               ? depth > 0 || !nmq_topic_is_hidden(level)
               : depth < c->levels && nmq_bytes_equal(level_of(c, depth), level);
}

nmq_retain_cursor *
nmq_retain_open_at(nmq_retain *retain, nmq_bytes filter, uint64_t order,
                   nmq_bytes topic_name)
{
    nmq_retain_cursor *c = nmq_retain_open(retain, filter);
    nmq_level *at = &retain->root.level;
    uint32_t depth = 0;
    nmq_bytes level;

    if (c == NULL) {
        return NULL;
    }
    c->stored = order;
    while (at != NULL && nmq_topic_next_level(&topic_name, &level)) {
        at = leads_to(c, depth, level) ? nmq_level_find(at, level, nmq_level_hash(level))
                                       : NULL;
        depth++;
    }
    if (at != NULL && depth > 0) {
        c->at->pins--;
        c->at = (nmq_retain_node *) at;
        c->at->pins++;
        c->depth = depth;
        c->here = true;
    }
    return c;
}

bool
nmq_retain_is_over(const nmq_retain_cursor *cursor)
{
    return cursor->over;
}
