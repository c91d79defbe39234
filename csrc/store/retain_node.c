#include "store/retain_node.h"

void
nmq_retain_node_link(nmq_retain_node *parent, nmq_retain_node *child)
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
unlink_child(nmq_retain_node *child)
{
    nmq_retain_node *parent = nmq_retain_node_parent(child);

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

void
nmq_retain_node_prune(nmq_retain *retain, nmq_retain_node *n)
{
    while (n != &retain->root && n->level.child_count == 0 && n->message == NULL &&
           n->pins == 0) {
        unlink_child(n);
        n = (nmq_retain_node *) nmq_level_remove(&n->level);
    }
}
