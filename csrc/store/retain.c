#include "store/retain.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "mqtt/topic.h"
#include "store/retain_node.h"

nmq_retain *
nmq_retain_new(void)
{
    nmq_retain *retain = nmq_zalloc(sizeof *retain);

    if (retain != NULL) {
        retain->places.entry_bytes = sizeof(nmq_retain_node *);
    }
    return retain;
}

static void
node_fini(nmq_level *level)
{
    nmq_message_unref(((nmq_retain_node *) level)->message);
}

void
nmq_retain_free(nmq_retain *retain)
{
    if (retain != NULL) {
        nmq_level_clear(&retain->root.level, node_fini);
        nmq_places_free(&retain->places);
        nmq_free(retain->heap);
        nmq_free(retain);
    }
}

static void
heap_place(nmq_retain *retain, uint32_t at, nmq_retain_node *n)
{
    retain->heap[at] = n;
    n->heap_at = at + 1;
}

static bool
is_earlier(const nmq_retain_node *a, const nmq_retain_node *b)
{
    return a->message->expires_at_ms < b->message->expires_at_ms;
}

// Moves the node from place `at`, which is free, up or down to where it belongs.
static void
heap_settle(nmq_retain *retain, uint32_t at, nmq_retain_node *n)
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
    nmq_retain_node **grown = nmq_vec_grow(retain->heap, &retain->heap_cap,
                                           retain->heap_count + 1, 16, sizeof *grown);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    retain->heap = grown;
    return NMQ_OK;
}

static void
heap_remove(nmq_retain *retain, nmq_retain_node *n)
{
    if (n->heap_at == 0) {
        return;
    }
    uint32_t at = n->heap_at - 1;
    nmq_retain_node *last = retain->heap[--retain->heap_count];
    n->heap_at = 0;
    if (last != n) {
        heap_settle(retain, at, last);
    }
}

// Sets the node's message; the heap has room for one more, and a new message has its place.
static void
set_message(nmq_retain *retain, nmq_retain_node *n, nmq_message *message)
{
    heap_remove(retain, n);
    if (message == NULL && n->message != NULL) {
        nmq_places_del(&retain->places, n->place);
    }
    retain->bytes += (message != NULL ? nmq_message_size(message) : 0) -
                     (n->message != NULL ? nmq_message_size(n->message) : 0);
    nmq_message_unref(n->message);
    n->message = message;
    if (message != NULL && message->expires_at_ms != 0) {
        heap_settle(retain, retain->heap_count++, n);
    }
}

// The node of the topic, NULL: there is no message under it.
static nmq_retain_node *
find(const nmq_retain *retain, nmq_bytes topic_name)
{
    const nmq_level *at = &retain->root.level;
    nmq_bytes level;

    while (at != NULL && nmq_topic_next_level(&topic_name, &level)) {
        at = nmq_level_find(at, level, nmq_level_hash(level));
    }
    nmq_retain_node *n = (nmq_retain_node *) at;
    return n != NULL && n->message != NULL ? n : NULL;
}

bool
nmq_retain_fits(const nmq_retain *retain, const nmq_message *message,
                const nmq_retain_bounds *bounds)
{
    uint64_t size = nmq_message_size(message);
    bool count_fits = bounds->count == 0 || retain->places.count < bounds->count;
    bool bytes_fit =
        !bounds->no_growth && (bounds->bytes == 0 || retain->bytes + size <= bounds->bytes);

    if (message->payload_len == 0 || (count_fits && bytes_fit && !bounds->no_change)) {
        return true;
    }
    const nmq_retain_node *old = find(retain, nmq_message_topic(message));
    return old != NULL && !bounds->no_change &&
           (bytes_fit || size <= nmq_message_size(old->message));
}

int
nmq_retain_put(nmq_retain *retain, nmq_message *message)
{
    nmq_retain_node *n = &retain->root;
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
            child = nmq_level_add(&n->level, level, hash, sizeof(nmq_retain_node));
            if (child != NULL) {
                nmq_retain_node_link(n, (nmq_retain_node *) child);
            }
        }
        if (child == NULL) {
            nmq_retain_node_prune(retain, n);
            return NMQ_ENOMEM;
        }
        n = (nmq_retain_node *) child;
    }
    if (keep && n->message == NULL &&
        nmq_places_put(&retain->places, &n, &n->place) != NMQ_OK) {
        nmq_retain_node_prune(retain, n);
        return NMQ_ENOMEM;
    }
    set_message(retain, n, keep ? nmq_message_ref(message) : NULL);
    n->stored = ++retain->stored;
    nmq_retain_node_prune(retain, n);
    return NMQ_OK;
}

nmq_message *
nmq_retain_get(const nmq_retain *retain, nmq_bytes topic_name)
{
    const nmq_retain_node *n = find(retain, topic_name);

    return n != NULL ? n->message : NULL;
}

uint64_t
nmq_retain_order(const nmq_retain *retain, nmq_bytes topic_name)
{
    const nmq_retain_node *n = find(retain, topic_name);

    return n != NULL ? n->stored : 0;
}

void
nmq_retain_set_order(nmq_retain *retain, nmq_bytes topic_name, uint64_t order)
{
    nmq_retain_node *n = find(retain, topic_name);

    if (n != NULL) {
        n->stored = order;
        retain->stored = retain->stored < order ? order : retain->stored;
    }
}

void
nmq_retain_del(nmq_retain *retain, nmq_bytes topic_name)
{
    nmq_retain_node *n = find(retain, topic_name);

    if (n != NULL) {
        set_message(retain, n, NULL);
        nmq_retain_node_prune(retain, n);
    }
}

int64_t
nmq_retain_sweep(nmq_retain *retain, int64_t now_ms, uint32_t most,
                 void (*gone)(void *arg, const nmq_message *message), void *arg)
{
    while (retain->heap_count > 0) {
        nmq_retain_node *first = retain->heap[0];
        if (most-- == 0 || !nmq_message_is_expired(first->message, now_ms)) {
            return first->message->expires_at_ms;
        }
        if (gone != NULL) {
            gone(arg, first->message);
        }
        set_message(retain, first, NULL);
        nmq_retain_node_prune(retain, first);
    }
    return 0;
}

int
nmq_messages_put(nmq_messages *out, nmq_message *message)
{
    nmq_message **grown =
        nmq_vec_grow(out->at, &out->cap, out->count + 1, 16, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    out->at = grown;
    out->at[out->count++] = nmq_message_ref(message);
    return NMQ_OK;
}

// Memory is out: takes back what was handed out.
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

    for (nmq_retain_node *n = retain->root.first; n != NULL;) {
        if (n->message != NULL && !nmq_message_is_expired(n->message, now_ms) &&
            nmq_messages_put(out, n->message) != NMQ_OK) {
            return give_back(out, before);
        }
        nmq_retain_node *next = n->first;
        while (next == NULL && n != &retain->root) {
            next = n->next;
            n = nmq_retain_node_parent(n);
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
    return retain->places.count;
}

uint64_t
nmq_retain_bytes(const nmq_retain *retain)
{
    return retain->bytes;
}

const nmq_places *
nmq_retain_places(const nmq_retain *retain)
{
    return &retain->places;
}

nmq_message *
nmq_retain_at(const nmq_retain *retain, uint32_t place)
{
    return (*(nmq_retain_node **) nmq_places_at(&retain->places, place))->message;
}
