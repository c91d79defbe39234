#include "route/acl_search.h"

#include <string.h>

#include "mqtt/topic.h"

// Which rules of a list count.
enum verdicts { BOTH, ALLOWS, DENIES };

typedef struct {
    nmq_acl_search *search;
    enum verdicts verdicts;
} walk;

static bool
counts(const walk *w, const nmq_acl_entry *entry)
{
    return (entry->acts & w->search->act) != 0 &&
           (w->verdicts == BOTH || entry->allow == (w->verdicts == ALLOWS));
}

// Takes the first rule of the list that counts, if it is better than the best.
static void
take(const walk *w, const nmq_acl_entries *entries)
{
    nmq_acl_search *search = w->search;

    for (uint32_t i = 0; i < entries->count; i++) {
        const nmq_acl_entry *entry = &entries->at[i];
        if (entry->rule >= search->best) {
            return;
        }
        if (counts(w, entry)) {
            search->best = entry->rule;
            search->allow = entry->allow;
            return;
        }
    }
}

// --- marks

// Takes the mark off the front of the text, if it begins with one.
static bool
next_mark(nmq_bytes *text, const nmq_acl_names *who, nmq_bytes *name)
{
    if (text->len < 2 || text->at[0] != '%') {
        return false;
    }
    switch (text->at[1]) {
    case 'c': *name = who->client_id; break;
    case 'u': *name = who->user_name; break;
    case 'i': *name = who->address; break;
    default: return false;
    }
    text->at += 2;
    text->len -= 2;
    return true;
}

static bool
is_part_of_a_level(nmq_bytes name)
{
    return name.len > 0 && memchr(name.at, '/', name.len) == NULL &&
           !nmq_filter_has_wildcard(name);
}

// Whether a level with marks stands for a level, and if `level` is not NULL, for that one.
static bool
stands_for(nmq_bytes marked, bool first, const nmq_acl_names *who, const nmq_bytes *level)
{
    nmq_bytes left = level != NULL ? *level : (nmq_bytes){0};

    for (bool begins = first; marked.len > 0; begins = false) {
        nmq_bytes part = {marked.at, 1};
        if (!next_mark(&marked, who, &part)) {
            marked.at++;
            marked.len--;
        } else if (!is_part_of_a_level(part) || (begins && nmq_topic_is_hidden(part))) {
            return false;
        }
        if (level == NULL) {
            continue;
        }
        if (left.len < part.len || memcmp(left.at, part.at, part.len) != 0) {
            return false;
        }
        left.at += part.len;
        left.len -= part.len;
    }
    return left.len == 0;
}

static bool
is_level(const walk *w, const nmq_acl_node *child, bool first, nmq_bytes level)
{
    return stands_for(nmq_level_name(&child->level), first, w->search->who, &level);
}

// Whether "+" or "#" may stand for the child.
static bool
is_open(const walk *w, const nmq_acl_node *child, bool first)
{
    nmq_bytes name = nmq_level_name(&child->level);

    return !(first && nmq_topic_is_hidden(name)) &&
           (child->level.mark != NMQ_ACL_LEVEL_MARKED ||
            stands_for(name, first, w->search->who, NULL));
}

static nmq_acl_node *
named(const nmq_acl_node *node, nmq_bytes level)
{
    return nmq_acl_node_of(
        nmq_level_find(&node->level, level, nmq_acl_level_hash(level, NMQ_ACL_LEVEL_NAME)));
}

// --- patterns that cover what is left of the topic, below a node

static void
cover(const walk *w, const nmq_acl_node *node, nmq_bytes rest, bool first)
{
    bool open = !(first && nmq_topic_is_hidden(rest)); // [MQTT-4.7.2-1]
    nmq_bytes level;

    if (node->least >= w->search->best) {
        return;
    }
    if (open) {
        take(w, &node->below); // "#", which stands for the level above it too
    }
    if (!nmq_topic_next_level(&rest, &level)) {
        take(w, &node->own);
        return;
    }
    if (nmq_level_is(level, '#')) {
        return;
    }
    if (open && node->any != NULL) {
        cover(w, node->any, rest, false);
    }
    if (nmq_level_is(level, '+')) {
        return;
    }
    const nmq_acl_node *child = named(node, level);
    if (child != NULL) {
        cover(w, child, rest, false);
    }
    for (child = node->marked; child != NULL; child = child->next_marked) {
        if (is_level(w, child, first, level)) {
            cover(w, child, rest, false);
        }
    }
}

// --- patterns that have a topic in common with what is left of the filter, below a node

// Those at a node and below it: "#" matches all of them.
static void
meet_all(const walk *w, const nmq_acl_node *node)
{
    if (node->least_deny >= w->search->best) {
        return;
    }
    take(w, &node->own);
    take(w, &node->below);
    for (const nmq_acl_node *child = node->first;
         child != NULL && child->least < w->search->best; child = child->next) {
        if (is_open(w, child, false)) {
            meet_all(w, child);
        }
    }
}

static void meet(const walk *w, const nmq_acl_node *node, nmq_bytes rest, bool first,
                 bool blank);

// The filter's next level is a wildcard.
static void
meet_children(const walk *w, const nmq_acl_node *node, nmq_bytes rest, bool first,
              bool below)
{
    for (const nmq_acl_node *child = node->first;
         child != NULL && child->least < w->search->best; child = child->next) {
        if (!is_open(w, child, first)) {
            continue;
        }
        if (below) {
            meet_all(w, child);
        } else {
            meet(w, child, rest, false, first && child->level.name_len == 0);
        }
    }
}

// The filter's next level is a name.
static void
meet_level(const walk *w, const nmq_acl_node *node, nmq_bytes level, nmq_bytes rest,
           bool first)
{
    bool blank = first && level.len == 0;
    const nmq_acl_node *child = named(node, level);

    if (child != NULL) {
        meet(w, child, rest, false, blank);
    }
    if (node->any != NULL && !(first && nmq_topic_is_hidden(level))) {
        meet(w, node->any, rest, false, blank);
    }
    for (child = node->marked; child != NULL; child = child->next_marked) {
        if (is_level(w, child, first, level)) {
            meet(w, child, rest, false, false);
        }
    }
}

// blank: what the two have in common so far is one empty level, and no topic is empty
// [MQTT-4.7.3-1].
static void
meet(const walk *w, const nmq_acl_node *node, nmq_bytes rest, bool first, bool blank)
{
    bool open = !(first && nmq_topic_is_hidden(rest)); // [MQTT-4.7.2-1]
    nmq_bytes level;

    if (node->least_deny >= w->search->best) {
        return;
    }
    bool over = !nmq_topic_next_level(&rest, &level);
    bool below = !over && nmq_level_is(level, '#');
    if (open && !(over && blank)) {
        take(w, &node->below);
    }
    if ((over || below) && !blank) {
        take(w, &node->own);
    }
    if (over) {
        return;
    }
    if (below || nmq_level_is(level, '+')) {
        meet_children(w, node, rest, first, below);
    } else {
        meet_level(w, node, level, rest, first);
    }
}

void
nmq_acl_search_tree(nmq_acl_search *search, const nmq_acl_node *root, nmq_bytes topic)
{
    if (!nmq_filter_has_wildcard(topic)) { // then both are the same
        cover(&(walk){search, BOTH}, root, topic, true);
        return;
    }
    cover(&(walk){search, ALLOWS}, root, topic, true);
    meet(&(walk){search, DENIES}, root, topic, true, false);
}

static void
find_literal(const walk *w, const nmq_acl_node *node, nmq_bytes rest, bool first)
{
    nmq_bytes level;

    if (node->least >= w->search->best) {
        return;
    }
    if (!nmq_topic_next_level(&rest, &level)) {
        take(w, &node->own);
        return;
    }
    const nmq_acl_node *child = named(node, level);
    if (child != NULL) {
        find_literal(w, child, rest, false);
    }
    for (child = node->marked; child != NULL; child = child->next_marked) {
        if (is_level(w, child, first, level)) {
            find_literal(w, child, rest, false);
        }
    }
}

void
nmq_acl_search_literal(nmq_acl_search *search, const nmq_acl_node *root, nmq_bytes topic)
{
    find_literal(&(walk){search, BOTH}, root, topic, true);
}
