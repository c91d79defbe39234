#include "store/topic_tree.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "store/levels.h"
#include "store/tree_node.h"
#include "store/tree_routes.h"

enum { HAS_PLUS = 1 }; // in a level's mark: a child is "+"

typedef nmq_tree_node node;

static int
add_rare(node *n)
{
    if (n->rare == NULL) {
        n->rare = nmq_zalloc(sizeof *n->rare);
    }
    return n->rare != NULL ? NMQ_OK : NMQ_ENOMEM;
}

// Frees the node and its parents while nothing hangs on them.
static void
prune(nmq_tree *tree, node *n)
{
    for (;;) {
        if (n->rare != NULL && n->rare->multi == NULL && n->rare->groups.first == NULL) {
            nmq_free(n->rare);
            n->rare = NULL;
        }
        if (n == &tree->root || n->level.child_count > 0 || n->here != NULL ||
            n->rare != NULL) {
            return;
        }
        if (nmq_level_is(nmq_level_name(&n->level), '+')) {
            n->level.parent->mark &= (uint8_t) ~HAS_PLUS;
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
        uint32_t hash = nmq_level_hash(level);
        nmq_level *child = nmq_level_find(&n->level, level, hash);
        if (child == NULL && add) {
            child = nmq_level_add(&n->level, level, hash, sizeof(node));
            if (child == NULL) {
                prune(tree, n);
            } else if (nmq_level_is(level, '+')) {
                n->level.mark |= HAS_PLUS;
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
    nmq_tree *tree = nmq_zalloc(sizeof *tree);

    if (tree != NULL) {
        tree->routes.entry_bytes = sizeof(uintptr_t);
    }
    return tree;
}

static void
node_fini(nmq_level *level)
{
    node *n = (node *) level;

    nmq_free(n->here);
    nmq_free(nmq_tree_node_multi(n));
    if (n->rare != NULL) {
        nmq_groups_free(&n->rare->groups);
    }
    nmq_free(n->rare);
}

void
nmq_tree_free(nmq_tree *tree)
{
    if (tree != NULL) {
        nmq_level_clear(&tree->root.level, node_fini);
        node_fini(&tree->root.level);
        nmq_places_free(&tree->routes);
        nmq_free(tree);
    }
}

static int
del_list(node *n, const nmq_filter *filter, bool multi, const void *client)
{
    return filter->group.at != NULL
               ? nmq_groups_del(&n->rare->groups, filter->group, multi, client)
               : nmq_sub_list_del(multi ? &n->rare->multi : &n->here, client);
}

int
nmq_tree_put(nmq_tree *tree, const nmq_filter *filter, const nmq_subscription *sub)
{
    bool multi;
    uint32_t *place;
    int rv;
    node *n = walk(tree, filter->filter, true, &multi);

    if (n == NULL) {
        return NMQ_ENOMEM;
    }
    bool shared = filter->group.at != NULL;
    if ((shared || multi) && add_rare(n) != NMQ_OK) {
        rv = NMQ_ENOMEM;
    } else if (shared) {
        rv = nmq_groups_put(&n->rare->groups, filter->group, multi, sub);
    } else {
        rv = nmq_sub_list_put(multi ? &n->rare->multi : &n->here, sub);
    }
    if (rv == 1 && nmq_routes_find(n, filter, multi, &place)->count == 1 &&
        nmq_routes_put(tree, n, filter, multi, place) != NMQ_OK) {
        (void) del_list(n, filter, multi, sub->client);
        rv = NMQ_ENOMEM;
    }
    if (rv < 0) {
        prune(tree, n);
    } else {
        tree->version++;
        tree->count += (size_t) rv;
        tree->shared_count += shared ? (size_t) rv : 0;
    }
    return rv;
}

int
nmq_tree_del(nmq_tree *tree, const nmq_filter *filter, const void *client)
{
    bool multi;
    uint32_t *at;
    node *n = walk(tree, filter->filter, false, &multi);
    const nmq_subscriptions *list =
        n != NULL ? nmq_routes_find(n, filter, multi, &at) : NULL;

    if (list == NULL) {
        return NMQ_ENOENT;
    }
    bool last = list->count == 1;
    uint32_t place = *at;
    int rv = del_list(n, filter, multi, client);
    if (rv == NMQ_OK) {
        if (last) {
            nmq_places_del(&tree->routes, place);
        }
        tree->version++;
        tree->count--;
        tree->shared_count -= filter->group.at != NULL;
        prune(tree, n);
    }
    return rv;
}

nmq_group *
nmq_tree_group(nmq_tree *tree, const nmq_filter *filter)
{
    bool multi;
    const node *n = walk(tree, filter->filter, false, &multi);

    return n != NULL && n->rare != NULL && filter->group.at != NULL
               ? nmq_groups_find(&n->rare->groups, filter->group, multi)
               : NULL;
}

// Makes room for `more` subscriptions. Returns NMQ_OK or NMQ_ENOMEM.
static int
reserve_found(nmq_matches *out, uint32_t more)
{
    uint32_t count = out->found != NULL ? out->found->count : 0;
    uint32_t cap = out->found != NULL ? out->found->cap : 0;

    if (cap - count >= more) {
        return NMQ_OK;
    }
    cap = count + more > 2 * cap ? count + more : 2 * cap;
    nmq_subscriptions *grown =
        nmq_resize(out->found, sizeof *grown + cap * sizeof *grown->at);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    grown->count = count;
    grown->cap = cap;
    out->found = grown;
    return NMQ_OK;
}

static int
collect_list(nmq_matches *out, const nmq_subscriptions *list)
{
    if (list == NULL) {
        return NMQ_OK;
    }
    if (reserve_found(out, list->count) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    memcpy(out->found->at + out->found->count, list->at, list->count * sizeof *list->at);
    out->found->count += list->count;
    out->lists++;
    return NMQ_OK;
}

static int
collect_groups(nmq_matches *out, const node *n, bool multi)
{
    for (nmq_group *group = n->rare->groups.first; group != NULL; group = group->next) {
        if (group->multi != multi) {
            continue;
        }
        nmq_group **grown = nmq_vec_grow(out->groups, &out->group_cap, out->group_count + 1,
                                         8, sizeof *grown);
        if (grown == NULL) {
            return NMQ_ENOMEM;
        }
        out->groups = grown;
        out->groups[out->group_count++] = group;
    }
    return NMQ_OK;
}

static int
collect(nmq_matches *out, const node *n, bool multi)
{
    int rv = collect_list(out, multi ? nmq_tree_node_multi(n) : n->here);

    return rv != NMQ_OK || n->rare == NULL ? rv : collect_groups(out, n, multi);
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

// Follows one branch: puts its children that match the level behind the open branches.
// Returns how many there are, up to 2.
static uint32_t
descend(const node *n, nmq_bytes level, uint32_t hash, bool wild, void **to)
{
    static const uint8_t plus[] = "+";
    uint32_t count = 0;
    nmq_level *child = nmq_level_find(&n->level, level, hash);

    if (child != NULL) {
        to[count++] = child;
    }
    if (wild && (n->level.mark & HAS_PLUS) != 0) {
        nmq_bytes name = {plus, 1};
        to[count++] = nmq_level_find(&n->level, name, nmq_level_hash(name));
    }
    return count;
}

static int
look_up(const nmq_tree *tree, nmq_bytes topic_name, nmq_matches *out)
{
    bool wild = !nmq_topic_is_hidden(topic_name); // [MQTT-4.7.2-1]
    uint32_t open = 1;
    nmq_bytes level;

    if ((out->found == NULL && reserve_found(out, 1) != NMQ_OK) ||
        open_reserve(out, 1) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    out->found->count = out->group_count = out->lists = out->visits = 0;
    out->sorted = false;
    out->open[0] = (void *) &tree->root;
    while (open > 0 && nmq_topic_next_level(&topic_name, &level)) {
        uint32_t hash = nmq_level_hash(level);
        uint32_t next = 0;
        if (open_reserve(out, open) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        out->visits += open;
        // The next level's branches are gathered behind this level's, then moved down.
        for (uint32_t i = 0; i < open; i++) {
            const node *n = out->open[i];
            if (wild && n->rare != NULL && collect(out, n, true) != NMQ_OK) {
                return NMQ_ENOMEM;
            }
            next += descend(n, level, hash, wild, out->open + open + next);
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

int
nmq_tree_match(const nmq_tree *tree, nmq_bytes topic_name, nmq_matches *out)
{
    if (out->version == tree->version &&
        nmq_bytes_equal((nmq_bytes){out->topic, out->topic_len}, topic_name)) {
        out->visits = 0;
        return NMQ_OK;
    }
    int rv = look_up(tree, topic_name, out);
    bool keep = rv == NMQ_OK && topic_name.len <= sizeof out->topic;
    out->topic_len = keep ? (uint32_t) topic_name.len : 0;
    out->version = tree->version;
    out->meter = tree->meters != NULL ? nmq_map_get(tree->meters, topic_name) : NULL;
    if (keep) {
        memcpy(out->topic, topic_name.at, topic_name.len);
    }
    return rv;
}

void
nmq_tree_use_meters(nmq_tree *tree, const nmq_map *meters)
{
    tree->meters = meters;
    tree->version++;
}

void
nmq_matches_free(nmq_matches *matches)
{
    nmq_free(matches->found);
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

uint32_t
nmq_tree_route_place(nmq_tree *tree, const nmq_filter *filter)
{
    bool multi;
    uint32_t *place;
    const node *n = walk(tree, filter->filter, false, &multi);

    return n != NULL && nmq_routes_find(n, filter, multi, &place) != NULL ? *place
                                                                          : NMQ_NO_PLACE;
}

uint32_t
nmq_tree_route_count(nmq_tree *tree, const nmq_filter *filter)
{
    bool multi;
    const node *n = walk(tree, filter->filter, false, &multi);

    if (n == NULL) {
        return 0;
    }
    const nmq_groups *groups = n->rare != NULL ? &n->rare->groups : NULL;
    const nmq_subscriptions *own = multi ? nmq_tree_node_multi(n) : n->here;
    uint32_t shared = groups == NULL ? 0
                      : multi        ? groups->multi_count
                                     : groups->count - groups->multi_count;
    return shared + (own != NULL);
}
