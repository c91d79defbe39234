#include "store/topic_tree.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/levels.h"

typedef struct {
    nmq_level level;         // first: see levels.h
    nmq_level *plus;         // the child "+", also in level.children
    nmq_subscriptions here;  // filter ends at this node
    nmq_subscriptions multi; // filter ends with "#" below this node
    nmq_group *groups;
} node;

struct nmq_tree {
    node root;
    size_t count;
    size_t shared_count;
};

static int
list_put(nmq_subscriptions *list, const nmq_subscription *sub)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i].client == sub->client) {
            list->at[i] = *sub;
            return 0;
        }
    }
    if (list->count == list->cap) {
        uint32_t cap = list->cap == 0 ? 1 : list->cap * 2;
        nmq_subscription *grown = nmq_resize(list->at, cap * sizeof *grown);
        if (grown == NULL) {
            return NMQ_ENOMEM;
        }
        list->at = grown;
        list->cap = cap;
    }
    list->at[list->count++] = *sub;
    return 1;
}

static int
list_del(nmq_subscriptions *list, const void *client)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->at[i].client != client) {
            continue;
        }
        list->at[i] = list->at[--list->count];
        if (list->count == 0) {
            nmq_free(list->at);
            *list = (nmq_subscriptions){0};
        }
        return NMQ_OK;
    }
    return NMQ_ENOENT;
}

static nmq_group **
find_group(node *n, nmq_bytes name, bool multi)
{
    nmq_group **at = &n->groups;

    while (*at != NULL &&
           ((*at)->multi != multi ||
            !nmq_bytes_equal((nmq_bytes){(*at)->name, (*at)->name_len}, name))) {
        at = &(*at)->next;
    }
    return at;
}

static int
group_put(node *n, nmq_bytes name, bool multi, const nmq_subscription *sub)
{
    nmq_group **at = find_group(n, name, multi);

    if (*at != NULL) {
        return list_put(&(*at)->members, sub);
    }
    static uint32_t last_number;
    nmq_group *group = nmq_zalloc(sizeof *group + name.len);
    if (group == NULL) {
        return NMQ_ENOMEM;
    }
    do { // 0 is nobody's number
        group->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
    } while (group->number == 0);
    group->multi = multi;
    group->name_len = (uint16_t) name.len;
    memcpy(group->name, name.at, name.len);
    if (list_put(&group->members, sub) < 0) {
        nmq_free(group);
        return NMQ_ENOMEM;
    }
    *at = group;
    return 1;
}

static int
group_del(node *n, nmq_bytes name, bool multi, const void *client)
{
    nmq_group **at = find_group(n, name, multi);

    if (*at == NULL || list_del(&(*at)->members, client) != NMQ_OK) {
        return NMQ_ENOENT;
    }
    if ((*at)->members.count == 0) {
        nmq_group *empty = *at;
        *at = empty->next;
        nmq_free(empty);
    }
    return NMQ_OK;
}

// Frees the node and its parents while nothing hangs on them.
static void
prune(nmq_tree *tree, node *n)
{
    while (n != &tree->root && n->level.child_count == 0 && n->here.count == 0 &&
           n->multi.count == 0 && n->groups == NULL) {
        node *parent = (node *) n->level.parent;
        if (parent->plus == &n->level) {
            parent->plus = NULL;
        }
        n = (node *) nmq_level_remove(&n->level);
    }
}

// Finds the node that the filter ends at, adding what is missing if `add` is set. Sets
// *multi for a filter that ends with "#". Returns NULL when not found, or memory is out.
static node *
walk(nmq_tree *tree, nmq_bytes filter, bool add, bool *multi)
{
    node *n = &tree->root;
    nmq_bytes level;

    *multi = false;
    while (nmq_topic_next_level(&filter, &level)) {
        if (nmq_level_is(level, '#')) {
            *multi = true;
            return n;
        }
        nmq_level *child = nmq_level_find(&n->level, level);
        if (child == NULL && add) {
            child = nmq_level_add(&n->level, level, sizeof(node));
            if (child == NULL) {
                prune(tree, n);
            } else if (nmq_level_is(level, '+')) {
                n->plus = child;
            }
        }
        if (child == NULL) {
            return NULL;
        }
        n = (node *) child;
    }
    return n;
}

nmq_tree *
nmq_tree_new(void)
{
    return nmq_zalloc(sizeof(nmq_tree));
}

static void
node_fini(nmq_level *level)
{
    node *n = (node *) level;

    nmq_free(n->here.at);
    nmq_free(n->multi.at);
    while (n->groups != NULL) {
        nmq_group *group = n->groups;
        n->groups = group->next;
        nmq_free(group->members.at);
        nmq_free(group);
    }
}

void
nmq_tree_free(nmq_tree *tree)
{
    if (tree != NULL) {
        nmq_level_clear(&tree->root.level, node_fini);
        node_fini(&tree->root.level);
        nmq_free(tree);
    }
}

int
nmq_tree_put(nmq_tree *tree, const nmq_filter *filter, const nmq_subscription *sub)
{
    bool multi;
    int rv;
    node *n = walk(tree, filter->filter, true, &multi);

    if (n == NULL) {
        return NMQ_ENOMEM;
    }
    if (filter->group.at != NULL) {
        rv = group_put(n, filter->group, multi, sub);
    } else {
        rv = list_put(multi ? &n->multi : &n->here, sub);
    }
    if (rv < 0) {
        prune(tree, n);
    } else {
        tree->count += (size_t) rv;
        tree->shared_count += filter->group.at != NULL ? (size_t) rv : 0;
    }
    return rv;
}

int
nmq_tree_del(nmq_tree *tree, const nmq_filter *filter, const void *client)
{
    bool multi;
    int rv = NMQ_ENOENT;
    node *n = walk(tree, filter->filter, false, &multi);

    if (n == NULL) {
        return NMQ_ENOENT;
    }
    if (filter->group.at != NULL) {
        rv = group_del(n, filter->group, multi, client);
    } else {
        rv = list_del(multi ? &n->multi : &n->here, client);
    }
    if (rv == NMQ_OK) {
        tree->count--;
        tree->shared_count -= filter->group.at != NULL;
        prune(tree, n);
    }
    return rv;
}

static int
collect_list(nmq_matches *out, const nmq_subscriptions *list)
{
    nmq_subscriptions *found = &out->found;

    if (list->count == 0) {
        return NMQ_OK;
    }
    if (found->cap - found->count < list->count) {
        uint32_t cap = (found->count + list->count) * 2;
        nmq_subscription *grown = nmq_resize(found->at, cap * sizeof *grown);
        if (grown == NULL) {
            return NMQ_ENOMEM;
        }
        found->at = grown;
        found->cap = cap;
    }
    memcpy(found->at + found->count, list->at, list->count * sizeof *list->at);
    found->count += list->count;
    out->lists++;
    return NMQ_OK;
}

static int
collect_groups(nmq_matches *out, const node *n, bool multi)
{
    for (nmq_group *group = n->groups; group != NULL; group = group->next) {
        if (group->multi != multi) {
            continue;
        }
        if (out->group_count == out->group_cap) {
            uint32_t cap = out->group_cap == 0 ? 8 : out->group_cap * 2;
            nmq_group **grown = nmq_resize(out->groups, cap * sizeof *grown);
            if (grown == NULL) {
                return NMQ_ENOMEM;
            }
            out->groups = grown;
            out->group_cap = cap;
        }
        out->groups[out->group_count++] = group;
    }
    return NMQ_OK;
}

static int
collect(nmq_matches *out, const node *n, bool multi)
{
    int rv = collect_list(out, multi ? &n->multi : &n->here);

    return rv != NMQ_OK || n->groups == NULL ? rv : collect_groups(out, n, multi);
}

// Makes room for `count` branches at this level and twice as many at the next.
static int
open_reserve(nmq_matches *out, uint32_t count)
{
    if (out->open_cap >= count * 3) {
        return NMQ_OK;
    }
    void **grown = nmq_resize(out->open, (size_t) count * 6 * sizeof *grown);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    out->open = grown;
    out->open_cap = count * 6;
    return NMQ_OK;
}

int
nmq_tree_match(const nmq_tree *tree, nmq_bytes topic_name, nmq_matches *out)
{
    bool wild = !nmq_topic_is_hidden(topic_name); // [MQTT-4.7.2-1]
    uint32_t open = 1;
    nmq_bytes level;

    out->found.count = out->group_count = out->lists = 0;
    if (open_reserve(out, 1) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    out->open[0] = (void *) &tree->root;
    while (open > 0 && nmq_topic_next_level(&topic_name, &level)) {
        uint32_t next = 0;
        if (open_reserve(out, open) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        // The next level's branches are gathered behind this level's, then moved down.
        for (uint32_t i = 0; i < open; i++) {
            const node *n = out->open[i];
            if (wild && collect(out, n, true) != NMQ_OK) {
                return NMQ_ENOMEM;
            }
            nmq_level *child = nmq_level_find(&n->level, level);
            if (child != NULL) {
                out->open[open + next++] = child;
            }
            if (wild && n->plus != NULL) {
                out->open[open + next++] = n->plus;
            }
        }
        memmove(out->open, out->open + open, next * sizeof *out->open);
        open = next;
        wild = true;
    }
    for (uint32_t i = 0; i < open; i++) {
        // "a/#" matches "a" too (4.7.1.2).
        if (collect(out, out->open[i], true) != NMQ_OK ||
            collect(out, out->open[i], false) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    return NMQ_OK;
}

void
nmq_matches_free(nmq_matches *matches)
{
    nmq_free(matches->found.at);
    nmq_free(matches->groups);
    nmq_free(matches->open);
    *matches = (nmq_matches){0};
}

size_t
nmq_tree_count(const nmq_tree *tree)
{
    return tree->count;
}

size_t
nmq_tree_shared_count(const nmq_tree *tree)
{
    return tree->shared_count;
}
