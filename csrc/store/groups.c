#include "store/groups.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"

enum { FEW = 8 }; // up to so many groups are searched one by one

static nmq_bytes
name_of(const nmq_group *group)
{
    return (nmq_bytes){group->name, group->name_len};
}

static uint32_t latest; // number; atomic

nmq_group *
nmq_groups_find(const nmq_groups *of, nmq_bytes name, bool multi)
{
    nmq_group *group = of->first;

    if (of->index != NULL) {
        return nmq_map_get(&of->index[multi], name);
    }
    while (group != NULL &&
           (group->multi != multi || !nmq_bytes_equal(name_of(group), name))) {
        group = group->next;
    }
    return group;
}

static void
drop_index(nmq_groups *of)
{
    if (of->index != NULL) {
        nmq_map_free(&of->index[0]);
        nmq_map_free(&of->index[1]);
        nmq_free(of->index);
        of->index = NULL;
    }
}

// Puts a new group into the index, which is made once there are more than a few. Returns
// NMQ_OK or NMQ_ENOMEM.
static int
put_index(nmq_groups *of, nmq_group *group)
{
    int rv = NMQ_OK;

    if (of->count < FEW) {
        return NMQ_OK;
    }
    if (of->index == NULL) {
        of->index = nmq_zalloc(2 * sizeof *of->index);
        if (of->index == NULL) {
            return NMQ_ENOMEM;
        }
        for (nmq_group *g = of->first; g != NULL && rv == NMQ_OK; g = g->next) {
            rv = nmq_map_put(&of->index[g->multi], name_of(g), g);
        }
    }
    if (rv == NMQ_OK) {
        rv = nmq_map_put(&of->index[group->multi], name_of(group), group);
    }
    if (rv != NMQ_OK && of->count == FEW) {
        drop_index(of); // it was made for this one
    }
    return rv;
}

static void
add(nmq_groups *of, nmq_group *group)
{
    group->next = of->first;
    if (of->first != NULL) {
        of->first->prev = group;
    }
    of->first = group;
    of->count++;
    of->multi_count += group->multi;
}

static void
take_out(nmq_groups *of, nmq_group *group)
{
    if (of->index != NULL) {
        (void) nmq_map_del(&of->index[group->multi], name_of(group));
    }
    *(group->prev != NULL ? &group->prev->next : &of->first) = group->next;
    if (group->next != NULL) {
        group->next->prev = group->prev;
    }
    of->multi_count -= group->multi;
    if (--of->count == 0) {
        drop_index(of);
    }
    nmq_free(group);
}

int
nmq_groups_put(nmq_groups *groups, nmq_bytes name, bool multi, const nmq_subscription *sub)
{
    nmq_group *group = nmq_groups_find(groups, name, multi);

    if (group != NULL) {
        return nmq_sub_list_put(&group->members, sub);
    }
    group = nmq_zalloc(sizeof *group + name.len);
    if (group == NULL) {
        return NMQ_ENOMEM;
    }
    do { // 0 is nobody's number
        group->number = __atomic_add_fetch(&latest, 1, __ATOMIC_RELAXED);
    } while (group->number == 0);
    group->multi = multi;
    group->name_len = (uint16_t) name.len;
    memcpy(group->name, name.at, name.len);
    if (nmq_sub_list_put(&group->members, sub) < 0 || put_index(groups, group) != NMQ_OK) {
        nmq_free(group->members);
        nmq_free(group);
        return NMQ_ENOMEM;
    }
    add(groups, group);
    return 1;
}

int
nmq_groups_del(nmq_groups *groups, nmq_bytes name, bool multi, const void *client)
{
    nmq_group *group = nmq_groups_find(groups, name, multi);

    if (group == NULL || nmq_sub_list_del(&group->members, client) != NMQ_OK) {
        return NMQ_ENOENT;
    }
    if (group->members == NULL) {
        take_out(groups, group);
    }
    return NMQ_OK;
}

uint32_t
nmq_groups_latest(void)
{
    return __atomic_load_n(&latest, __ATOMIC_RELAXED);
}

void
nmq_groups_begin_after(uint32_t number)
{
    uint32_t now = nmq_groups_latest();

    while (now < number &&
           !__atomic_compare_exchange_n(&latest, &now, number, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

void
nmq_groups_free(nmq_groups *groups)
{
    for (nmq_group *group = groups->first; group != NULL;) {
        nmq_group *next = group->next;
        nmq_free(group->members);
        nmq_free(group);
        group = next;
    }
    drop_index(groups);
    *groups = (nmq_groups){0};
}
