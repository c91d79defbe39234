#include "route/acl_tree.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"

nmq_acl_node *
nmq_acl_node_of(const nmq_level *level)
{
    return (nmq_acl_node *) (uintptr_t) level; // its first field
}

uint32_t
nmq_acl_level_hash(nmq_bytes name, enum nmq_acl_level kind)
{
    return nmq_level_hash(name) + (kind == NMQ_ACL_LEVEL_MARKED);
}

bool
nmq_acl_has_mark(nmq_bytes text, char mark)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.at[i - 1] == '%' && text.at[i] == (uint8_t) mark) {
            return true;
        }
    }
    return false;
}

static enum nmq_acl_level
kind_of(nmq_bytes level, nmq_acl_reading reading)
{
    if (nmq_level_is(level, '+') && !reading.literal) {
        return NMQ_ACL_LEVEL_ANY;
    }
    return reading.marks && (nmq_acl_has_mark(level, 'c') || nmq_acl_has_mark(level, 'u') ||
                             nmq_acl_has_mark(level, 'i'))
               ? NMQ_ACL_LEVEL_MARKED
               : NMQ_ACL_LEVEL_NAME;
}

static nmq_acl_node *
add_child(nmq_acl_node *parent, nmq_bytes name, enum nmq_acl_level kind)
{
    nmq_acl_node *child = nmq_acl_node_of(nmq_level_add(
        &parent->level, name, nmq_acl_level_hash(name, kind), sizeof(nmq_acl_node)));

    if (child == NULL) {
        return NULL;
    }
    child->level.mark = (uint8_t) kind;
    child->least = NMQ_ACL_NO_RULE;
    child->least_deny = NMQ_ACL_NO_RULE;
    if (parent->last != NULL) {
        parent->last->next = child;
    } else {
        parent->first = child;
    }
    parent->last = child;
    if (kind == NMQ_ACL_LEVEL_ANY) {
        parent->any = child;
    } else if (kind == NMQ_ACL_LEVEL_MARKED) {
        child->next_marked = parent->marked;
        parent->marked = child;
    }
    return child;
}

// The acts for which an earlier rule of the list leaves a rule nothing to say: one that
// denies applies to all that one that allows applies to.
static uint16_t
acts_before(const nmq_acl_entries *entries, bool allow)
{
    uint16_t acts = 0;

    for (uint32_t i = 0; i < entries->count; i++) {
        if (!entries->at[i].allow || allow) {
            acts |= entries->at[i].acts;
        }
    }
    return acts;
}

static int
add_entry(nmq_acl_entries *entries, nmq_acl_entry entry)
{
    entry.acts = (uint16_t) (entry.acts & ~acts_before(entries, entry.allow));
    if (entry.acts == 0) {
        return NMQ_OK;
    }
    nmq_acl_entry *more =
        nmq_resize(entries->at, (entries->count + 1) * sizeof *entries->at);
    if (more == NULL) {
        return NMQ_ENOMEM;
    }
    entries->at = more;
    entries->at[entries->count++] = entry;
    return NMQ_OK;
}

// Notes that the rule is here or below.
static void
note(nmq_acl_node *node, const nmq_acl_entry *entry)
{
    if (entry->rule < node->least) {
        node->least = entry->rule;
    }
    if (!entry->allow && (entry->acts & NMQ_ACL_SUBSCRIBE) != 0 &&
        entry->rule < node->least_deny) {
        node->least_deny = entry->rule;
    }
}

int
nmq_acl_tree_put(nmq_acl_node *root, nmq_bytes pattern, nmq_acl_reading reading,
                 nmq_acl_entry entry)
{
    nmq_acl_node *node = root;
    nmq_bytes level;

    while (nmq_topic_next_level(&pattern, &level)) {
        if (nmq_level_is(level, '#') && !reading.literal) {
            return add_entry(&node->below, entry);
        }
        enum nmq_acl_level kind = kind_of(level, reading);
        nmq_level *child =
            nmq_level_find(&node->level, level, nmq_acl_level_hash(level, kind));
        node = child != NULL ? nmq_acl_node_of(child) : add_child(node, level, kind);
        if (node == NULL) {
            return NMQ_ENOMEM;
        }
        note(node, &entry);
    }
    return add_entry(&node->own, entry);
}

static void
node_fini(nmq_level *level)
{
    nmq_acl_node *node = nmq_acl_node_of(level);

    nmq_free(node->own.at);
    nmq_free(node->below.at);
}

void
nmq_acl_tree_fini(nmq_acl_node *root)
{
    nmq_level_clear(&root->level, node_fini);
    node_fini(&root->level);
    *root = (nmq_acl_node){0};
}
