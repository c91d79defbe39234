#include "store/tree_routes.h"

#include <string.h>

#include "base/status.h"
#include "store/tree_node.h"

// A route is kept as the address of the node that its filter ends at, with ROUTE_MULTI
// added for a "#" below; or of its group, with ROUTE_GROUP.
enum { ROUTE_MULTI = 1, ROUTE_GROUP = 2 };

const nmq_places *
nmq_routes_of(const nmq_tree *tree)
{
    return &tree->routes;
}

const nmq_subscriptions *
nmq_routes_find(const nmq_tree_node *n, const nmq_filter *filter, bool multi,
                uint32_t **place)
{
    if (filter->group.at != NULL) {
        nmq_group *group = n->rare != NULL
                               ? nmq_groups_find(&n->rare->groups, filter->group, multi)
                               : NULL;
        if (group != NULL) {
            *place = &group->place;
        }
        return group != NULL ? group->members : NULL;
    }
    nmq_subscriptions *list = multi ? nmq_tree_node_multi(n) : n->here;
    if (list != NULL) {
        *place = &list->place;
    }
    return list;
}

int
nmq_routes_put(nmq_tree *tree, nmq_tree_node *n, const nmq_filter *filter, bool multi,
               uint32_t *place)
{
    uintptr_t entry = (uintptr_t) n | (multi ? ROUTE_MULTI : 0);

    if (filter->group.at != NULL) {
        nmq_group *group = nmq_groups_find(&n->rare->groups, filter->group, multi);
        group->node = n;
        entry = (uintptr_t) group | ROUTE_GROUP;
    }
    return nmq_places_put(&tree->routes, &entry, place);
}

// Writes the filter that ends at the node into an empty buffer, from its end to its begin.
static int
put_text(const nmq_level *at, bool multi, nmq_buf *out)
{
    size_t len = multi ? 1 + (at->parent != NULL) : 0;

    for (const nmq_level *l = at; l->parent != NULL; l = l->parent) {
        len += l->name_len + (size_t) (l->parent->parent != NULL);
    }
    uint8_t *end = nmq_buf_reserve(out, len);
    if (end == NULL) {
        return NMQ_ENOMEM;
    }
    out->len = len;
    end += len;
    if (multi) {
        *--end = '#';
    }
    for (bool first = !multi; at->parent != NULL; at = at->parent, first = false) {
        if (!first) {
            *--end = '/';
        }
        nmq_bytes name = nmq_level_name(at);
        end -= name.len;
        memcpy(end, name.at, name.len);
    }
    return NMQ_OK;
}

int
nmq_routes_read(const nmq_tree *tree, uint32_t place, nmq_buf *text, nmq_route *out)
{
    const uintptr_t *entry = nmq_places_at(&tree->routes, place);
    const nmq_group *group = (const nmq_group *) (*entry & ~(uintptr_t) ROUTE_GROUP);
    const nmq_tree_node *n = (const nmq_tree_node *) (*entry & ~(uintptr_t) ROUTE_MULTI);
    bool multi = (*entry & ROUTE_MULTI) != 0;

    *out = (nmq_route){0};
    if ((*entry & ROUTE_GROUP) != 0) {
        n = group->node;
        multi = group->multi;
        out->group = (nmq_bytes){group->name, group->name_len};
        out->subscriptions = group->members->count;
    } else {
        out->subscriptions = (multi ? nmq_tree_node_multi(n) : n->here)->count;
    }
    text->len = 0;
    int rv = put_text(&n->level, multi, text);
    out->filter = (nmq_bytes){text->at, text->len};
    return rv;
}
