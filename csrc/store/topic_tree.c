#include "store/topic_tree.h"

#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/levels.h"

enum {
    HAS_PLUS = 1, // in a level's mark: a child is "+"
    FEW = 8,      // subscriptions or groups are searched one by one
};

// What few nodes have.
typedef struct {
    nmq_subscriptions *multi; // filters that end with "#" below the node
    nmq_group *groups;
    uint32_t group_count;
    nmq_map *group_index; // two: of those without "#" and with it, by name; NULL: few
} rare;

typedef struct {
    nmq_level level;         // first: see levels.h
    nmq_subscriptions *here; // filters that end at the node; NULL: none
    rare *rare;              // NULL: nothing
} node;

struct nmq_tree {
    node root;
    size_t count;
    size_t shared_count;
    uint64_t version; // counts the changes
};

// --- lists. In the tree their room is a power of two, and a long one has an index by
// client behind its subscriptions: 2 * cap slots, each one more than a place, 0 for free.

static bool
has_index(const nmq_subscriptions *list)
{
    return list->cap > FEW;
}

static uint32_t *
index_of(nmq_subscriptions *list)
{
    return (uint32_t *) &list->at[list->cap];
}

static uint32_t
home_of(const nmq_subscriptions *list, const void *client)
{
    uint64_t hash = (uintptr_t) client * UINT64_C(0x9e3779b97f4a7c15);

    return (uint32_t) (hash >> 32) & (2 * list->cap - 1);
}

// Where in the index that client is, or the free slot where it belongs.
static uint32_t *
find_slot(nmq_subscriptions *list, const void *client)
{
    uint32_t *index = index_of(list);
    uint32_t slot = home_of(list, client);

    while (index[slot] != 0 && list->at[index[slot] - 1].client != client) {
        slot = (slot + 1) & (2 * list->cap - 1);
    }
    return &index[slot];
}

// Moves later entries of the run back, so that no search stops at the hole too early.
static void
close_hole(nmq_subscriptions *list, uint32_t hole)
{
    uint32_t *index = index_of(list);
    uint32_t mask = 2 * list->cap - 1;

    for (uint32_t i = (hole + 1) & mask; index[i] != 0; i = (i + 1) & mask) {
        uint32_t home = home_of(list, list->at[index[i] - 1].client);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            index[hole] = index[i];
            hole = i;
        }
    }
    index[hole] = 0;
}

// Makes room for one more. Returns NMQ_OK or NMQ_ENOMEM.
static int
list_reserve(nmq_subscriptions **at)
{
    uint32_t count = *at != NULL ? (*at)->count : 0;
    uint32_t cap = *at != NULL ? (*at)->cap : 0;

    if (count < cap) {
        return NMQ_OK;
    }
    cap = cap == 0 ? 1 : 2 * cap;
    size_t index_bytes = cap > FEW ? 2 * cap * sizeof(uint32_t) : 0;
    nmq_subscriptions *grown =
        nmq_resize(*at, sizeof *grown + cap * sizeof *grown->at + index_bytes);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    grown->count = count;
    grown->cap = cap;
    *at = grown;
    if (has_index(grown)) {
        memset(index_of(grown), 0, index_bytes);
        for (uint32_t i = 0; i < count; i++) {
            *find_slot(grown, grown->at[i].client) = i + 1;
        }
    }
    return NMQ_OK;
}

static nmq_subscription *
list_find(nmq_subscriptions *list, const void *client)
{
    if (list != NULL && has_index(list)) {
        uint32_t place = *find_slot(list, client);
        return place != 0 ? &list->at[place - 1] : NULL;
    }
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        if (list->at[i].client == client) {
            return &list->at[i];
        }
    }
    return NULL;
}

static int
list_put(nmq_subscriptions **at, const nmq_subscription *sub)
{
    nmq_subscription *known = list_find(*at, sub->client);

    if (known != NULL) {
        *known = *sub;
        return 0;
    }
    if (list_reserve(at) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_subscriptions *list = *at;
    if (has_index(list)) {
        *find_slot(list, sub->client) = list->count + 1;
    }
    list->at[list->count++] = *sub;
    return 1;
}

static int
list_del(nmq_subscriptions **at, const void *client)
{
    nmq_subscription *known = list_find(*at, client);

    if (known == NULL) {
        return NMQ_ENOENT;
    }
    nmq_subscriptions *list = *at;
    nmq_subscription *last = &list->at[list->count - 1];
    if (has_index(list)) {
        close_hole(list, (uint32_t) (find_slot(list, client) - index_of(list)));
        if (known != last) {
            *find_slot(list, last->client) = (uint32_t) (known - list->at) + 1;
        }
    }
    *known = *last;
    if (--list->count == 0) {
        nmq_free(list);
        *at = NULL;
    }
    return NMQ_OK;
}

static nmq_subscriptions *
multi_of(const node *n)
{
    return n->rare != NULL ? n->rare->multi : NULL;
}

static nmq_group *
groups_of(const node *n)
{
    return n->rare != NULL ? n->rare->groups : NULL;
}

static int
add_rare(node *n)
{
    if (n->rare == NULL) {
        n->rare = nmq_zalloc(sizeof *n->rare);
    }
    return n->rare != NULL ? NMQ_OK : NMQ_ENOMEM;
}

// --- groups. A node with many has an index of them: two, for its filters with "#" and
// without.

static nmq_bytes
name_of(const nmq_group *group)
{
    return (nmq_bytes){group->name, group->name_len};
}

static nmq_group *
find_group(const rare *of, nmq_bytes name, bool multi)
{
    nmq_group *group = of->groups;

    if (of->group_index != NULL) {
        return nmq_map_get(&of->group_index[multi], name);
    }
    while (group != NULL &&
           (group->multi != multi || !nmq_bytes_equal(name_of(group), name))) {
        group = group->next;
    }
    return group;
}

static void
drop_group_index(rare *of)
{
    if (of->group_index != NULL) {
        nmq_map_free(&of->group_index[0]);
        nmq_map_free(&of->group_index[1]);
        nmq_free(of->group_index);
        of->group_index = NULL;
    }
}

// Puts a new group into the index, and makes that first if it is time. Returns NMQ_OK or
// NMQ_ENOMEM.
static int
index_group(rare *of, nmq_group *group)
{
    int rv = NMQ_OK;

    if (of->group_count < FEW) {
        return NMQ_OK;
    }
    if (of->group_index == NULL) {
        of->group_index = nmq_zalloc(2 * sizeof *of->group_index);
        if (of->group_index == NULL) {
            return NMQ_ENOMEM;
        }
        for (nmq_group *g = of->groups; g != NULL && rv == NMQ_OK; g = g->next) {
            rv = nmq_map_put(&of->group_index[g->multi], name_of(g), g);
        }
    }
    if (rv == NMQ_OK) {
        rv = nmq_map_put(&of->group_index[group->multi], name_of(group), group);
    }
    if (rv != NMQ_OK && of->group_count == FEW) {
        drop_group_index(of); // it was made for this one
    }
    return rv;
}

static void
add_group(rare *of, nmq_group *group)
{
    group->next = of->groups;
    if (of->groups != NULL) {
        of->groups->prev = group;
    }
    of->groups = group;
    of->group_count++;
}

static void
remove_group(rare *of, nmq_group *group)
{
    if (of->group_index != NULL) {
        (void) nmq_map_del(&of->group_index[group->multi], name_of(group));
    }
    *(group->prev != NULL ? &group->prev->next : &of->groups) = group->next;
    if (group->next != NULL) {
        group->next->prev = group->prev;
    }
    if (--of->group_count == 0) {
        drop_group_index(of);
    }
    nmq_free(group);
}

static int
group_put(node *n, nmq_bytes name, bool multi, const nmq_subscription *sub)
{
    static uint32_t last_number;
    nmq_group *group = find_group(n->rare, name, multi);

    if (group != NULL) {
        return list_put(&group->members, sub);
    }
    group = nmq_zalloc(sizeof *group + name.len);
    if (group == NULL) {
        return NMQ_ENOMEM;
    }
    do { // 0 is nobody's number
        group->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
    } while (group->number == 0);
    group->multi = multi;
    group->name_len = (uint16_t) name.len;
    memcpy(group->name, name.at, name.len);
    if (list_put(&group->members, sub) < 0 || index_group(n->rare, group) != NMQ_OK) {
        nmq_free(group->members);
        nmq_free(group);
        return NMQ_ENOMEM;
    }
    add_group(n->rare, group);
    return 1;
}

static int
group_del(node *n, nmq_bytes name, bool multi, const void *client)
{
    nmq_group *group = n->rare != NULL ? find_group(n->rare, name, multi) : NULL;

    if (group == NULL || list_del(&group->members, client) != NMQ_OK) {
        return NMQ_ENOENT;
    }
    if (group->members == NULL) {
        remove_group(n->rare, group);
    }
    return NMQ_OK;
}

// Frees the node and its parents while nothing hangs on them.
static void
prune(nmq_tree *tree, node *n)
{
    for (;;) {
        if (n->rare != NULL && n->rare->multi == NULL && n->rare->groups == NULL) {
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
    return nmq_zalloc(sizeof(nmq_tree));
}

static void
node_fini(nmq_level *level)
{
    node *n = (node *) level;

    nmq_free(n->here);
    nmq_free(multi_of(n));
    for (nmq_group *group = groups_of(n); group != NULL;) {
        nmq_group *next = group->next;
        nmq_free(group->members);
        nmq_free(group);
        group = next;
    }
    if (n->rare != NULL) {
        drop_group_index(n->rare);
    }
    nmq_free(n->rare);
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
    bool shared = filter->group.at != NULL;
    if ((shared || multi) && add_rare(n) != NMQ_OK) {
        rv = NMQ_ENOMEM;
    } else if (shared) {
        rv = group_put(n, filter->group, multi, sub);
    } else {
        rv = list_put(multi ? &n->rare->multi : &n->here, sub);
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
    int rv = NMQ_ENOENT;
    node *n = walk(tree, filter->filter, false, &multi);

    if (n == NULL) {
        return NMQ_ENOENT;
    }
    if (filter->group.at != NULL) {
        rv = group_del(n, filter->group, multi, client);
    } else if (!multi || n->rare != NULL) {
        rv = list_del(multi ? &n->rare->multi : &n->here, client);
    }
    if (rv == NMQ_OK) {
        tree->version++;
        tree->count--;
        tree->shared_count -= filter->group.at != NULL;
        prune(tree, n);
    }
    return rv;
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
    for (nmq_group *group = n->rare->groups; group != NULL; group = group->next) {
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
    int rv = collect_list(out, multi ? multi_of(n) : n->here);

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

// Follows one branch: its children that meet the level are put behind the open branches.
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
    if (keep) {
        memcpy(out->topic, topic_name.at, topic_name.len);
    }
    return rv;
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
