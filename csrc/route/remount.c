#include "route/remount.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "route/durable_whole.h"
#include "route/subscriptions.h"
#include "store/session_subs.h"

enum { SUBSCRIPTIONS_AT_ONCE = 32 }; // that are looked at in one lane

// From one mount point to another.
typedef struct {
    nmq_router *router;
    nmq_client *client;
    nmq_bytes from;
    nmq_bytes to;
} move;

// Puts the text whose topic or filter begins at `head` below the other mount point. Returns
// NMQ_OK, NMQ_ENOMEM, or NMQ_ETOPIC for one that is not below the old one or gets too long.
static int
moved_text(const move *m, nmq_bytes text, size_t head, nmq_buf *out)
{
    nmq_bytes rest = {text.at + head, text.len - head};

    if (!nmq_topic_unmount(m->from, &rest) ||
        head + m->to.len + rest.len > NMQ_TOPIC_MAX_BYTES) {
        return NMQ_ETOPIC;
    }
    return nmq_buf_put(out, (nmq_bytes){text.at, head}) == NMQ_OK &&
                   nmq_buf_put(out, m->to) == NMQ_OK && nmq_buf_put(out, rest) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

// Returns the message as it would be below the other mount point, or NULL: it stays.
// `origin` is named as its publisher there; NULL: nobody.
static nmq_message *
moved_message(const move *m, const nmq_message *message, nmq_origin *origin)
{
    nmq_message_parts parts = nmq_message_parts_of(message);
    nmq_buf topic = {0};
    nmq_message *out = NULL;

    if (moved_text(m, parts.topic_name, 0, &topic) == NMQ_OK) {
        parts.topic_name = (nmq_bytes){topic.at, topic.len};
        parts.origin = origin;
        out = nmq_message_new(&parts);
    }
    nmq_buf_free(&topic);
    return out;
}

// Call with the client's lock.
static void
move_messages(const move *m)
{
    nmq_session *s = m->client->session;

    for (uint32_t i = 0; i < s->queue.count; i++) {
        nmq_message *out = moved_message(m, nmq_queue_at(&s->queue, i)->message, NULL);
        if (out != NULL) {
            nmq_queue_swap(&s->queue, i, out);
        }
    }
    for (uint32_t i = 0; i < s->inflight.cap; i++) {
        nmq_inflight_entry *entry = &s->inflight.slots[i];
        bool has_message =
            entry->state != NMQ_INFLIGHT_FREE && entry->delivery.message != NULL;
        nmq_message *out =
            has_message ? moved_message(m, entry->delivery.message, NULL) : NULL;
        if (out != NULL) {
            nmq_inflight_swap(&s->inflight, entry, out);
        }
    }
}

// Call with the client's lock.
static void
move_will(const move *m)
{
    const nmq_client *client = m->client;
    nmq_will will = client->will;
    nmq_message *old = will.message;
    nmq_origin *origin = NULL;

    if (old == NULL) {
        return;
    }
    if (old->origin != NULL) {
        origin = nmq_origin_new(client->session->client_id, client->user_name,
                                &client->peer, m->to.len, client->listener_key);
    }
    if (origin != NULL) {
        origin->superuser =
            client->superuser || (client->own != NULL && old->origin->superuser);
    }
    nmq_message *out =
        old->origin == NULL || origin != NULL ? moved_message(m, old, origin) : NULL;
    nmq_origin_unref(origin);
    if (out != NULL) {
        will.message = out;
        nmq_message_unref(nmq_client_set_will(m->client, will).message);
    }
}

static int
move_subscription(const move *m, const nmq_session_sub *sub)
{
    nmq_router *router = m->router;
    const nmq_filter from = nmq_session_sub_filter(sub);
    size_t head = (size_t) (from.filter.at - from.text.at); // "$share/GROUP/"
    nmq_buf text = {0};
    int rv = moved_text(m, from.text, head, &text);

    if (rv == NMQ_OK) {
        const nmq_filter to =
            nmq_filter_join((nmq_bytes){text.at, text.len}, from.group.len);
        (void) nmq_subscriptions_del(router, m->client, &from, NMQ_WHY_NONE);
        rv = nmq_subscriptions_put(router, m->client, &to, sub->options, sub->identifier);
    }
    nmq_buf_free(&text);
    return rv == NMQ_ETOPIC || rv >= 0 ? NMQ_OK : rv;
}

// Copies a few subscriptions of the list, from *at on. Returns whether there are more;
// NMQ_ENOMEM. The texts are the caller's.
static int
copy_some(const move *m, uint32_t *at, nmq_buf *out)
{
    const nmq_session *session = m->client->session;
    nmq_lane *lane = nmq_lanes_enter(m->router->lanes);
    int rv = 1;

    for (int i = 0; i < SUBSCRIPTIONS_AT_ONCE && rv == 1; i++, ++*at) {
        if (*at >= session->sub_count) {
            rv = 0;
            break;
        }
        nmq_session_sub sub = session->subs[*at];
        if (nmq_bytes_copy(sub.text, &sub.text) != NMQ_OK) {
            rv = NMQ_ENOMEM;
        } else if (nmq_buf_put(out, (nmq_bytes){(const uint8_t *) &sub, sizeof sub}) !=
                   NMQ_OK) {
            nmq_bytes_free(&sub.text);
            rv = NMQ_ENOMEM;
        }
    }
    nmq_lanes_leave(lane);
    return rv;
}

// All are copied first: the list changes its order as they move.
static int
move_subscriptions(const move *m)
{
    nmq_buf all = {0};
    uint32_t at = 0;
    int rv;

    while ((rv = copy_some(m, &at, &all)) == 1) {
    }
    for (size_t i = 0; i < all.len; i += sizeof(nmq_session_sub)) {
        nmq_session_sub sub;
        memcpy(&sub, all.at + i, sizeof sub);
        rv = rv == NMQ_OK ? move_subscription(m, &sub) : rv;
        nmq_bytes_free(&sub.text);
    }
    nmq_buf_free(&all);
    return rv == NMQ_OK ? NMQ_OK : NMQ_ENOMEM;
}

int
nmq_remount(nmq_router *router, nmq_client *client, uint32_t listener_key, nmq_bytes mount,
            bool attaches)
{
    nmq_session *session = client->session;
    move m = {.router = router, .client = client, .to = mount};
    nmq_bytes copy = {0};
    int rv = 0;

    (void) pthread_mutex_lock(&client->lock);
    if (listener_key != 0 && client->listener_key == listener_key &&
        !nmq_bytes_equal(session->mount, mount) && (attaches || client->link == NULL)) {
        rv = nmq_bytes_copy(mount, &copy) == NMQ_OK ? 1 : NMQ_ENOMEM;
    }
    if (rv == 1) { // nobody else moves it now
        m.from = session->mount;
        move_messages(&m);
        move_will(&m);
        session->mount = copy;
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (rv == 1) {
        __atomic_store_n(&client->is_moving, true, __ATOMIC_RELAXED);
        rv = move_subscriptions(&m) == NMQ_OK ? 1 : NMQ_ENOMEM;
        __atomic_store_n(&client->is_moving, false, __ATOMIC_RELAXED);
        if (rv == 1 && !client->unlogged && nmq_durable_whole(router, client) != NMQ_OK) {
            rv = NMQ_ENOMEM;
        }
        nmq_bytes_free(&m.from);
    }
    return rv;
}
