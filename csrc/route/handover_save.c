#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "route/handover_format.h"
#include "route/handover_save.h"
#include "store/session_subs.h"

enum { FLUSH_BYTES = 1 << 16 };

// A message or an origin that was written already, and its number.
typedef struct {
    const void *object; // its address is the key
    uint32_t number;
} known;

typedef struct {
    int fd;
    int rv; // the first failure; then nothing more is written
    nmq_buf buf;
    nmq_map messages; // address -> known
    nmq_map origins;  // address -> known
} writer;

static void
flush(writer *w)
{
    size_t at = 0;

    while (w->rv == NMQ_OK && at < w->buf.len) {
        ssize_t n = write(w->fd, w->buf.at + at, w->buf.len - at);
        if (n > 0) {
            at += (size_t) n;
        } else if (errno != EINTR) {
            w->rv = NMQ_EIO;
        }
    }
    w->buf.len = 0;
}

static void
put(writer *w, const void *at, size_t len)
{
    if (w->rv == NMQ_OK && nmq_buf_put(&w->buf, (nmq_bytes){at, len}) != NMQ_OK) {
        w->rv = NMQ_ENOMEM;
    }
    if (w->buf.len >= FLUSH_BYTES) {
        flush(w);
    }
}

static void
put_text(writer *w, nmq_bytes text)
{
    uint32_t len = text.at != NULL ? (uint32_t) text.len : NMQ_HANDOVER_NONE;

    put(w, &len, sizeof len);
    if (text.at != NULL) {
        put(w, text.at, text.len);
    }
}

// Notes the object under the next number. Returns it, or NMQ_HANDOVER_NONE with w->rv set.
static uint32_t
note(writer *w, nmq_map *map, const void *object)
{
    known *k = nmq_alloc(sizeof *k);

    if (k == NULL) {
        w->rv = NMQ_ENOMEM;
        return NMQ_HANDOVER_NONE;
    }
    *k = (known){object, (uint32_t) map->count};
    nmq_bytes key = {(const uint8_t *) &k->object, sizeof k->object};
    if (nmq_map_put(map, key, k) != NMQ_OK) {
        nmq_free(k);
        w->rv = NMQ_ENOMEM;
        return NMQ_HANDOVER_NONE;
    }
    return k->number;
}

// Writes the object's number. Returns whether the object itself must follow.
static bool
put_number(writer *w, nmq_map *map, const void *object)
{
    nmq_bytes key = {(const uint8_t *) &object, sizeof object};
    const known *k = object != NULL ? nmq_map_get(map, key) : NULL;
    uint32_t number = NMQ_HANDOVER_NONE;

    if (object != NULL) {
        number = k != NULL ? k->number : note(w, map, object);
    }
    put(w, &number, sizeof number);
    return object != NULL && k == NULL;
}

static void
put_origin(writer *w, const nmq_origin *origin)
{
    nmq_handover_origin fixed;

    if (!put_number(w, &w->origins, origin)) {
        return;
    }
    memset(&fixed, 0, sizeof fixed); // the gaps too
    fixed.peer = origin->peer;
    fixed.mount_len = origin->mount_len;
    put(w, &fixed, sizeof fixed);
    put_text(w, nmq_origin_client_id(origin));
    put_text(w, nmq_origin_user_name(origin));
}

static void
put_message(writer *w, const nmq_message *message)
{
    if (!put_number(w, &w->messages, message)) {
        return;
    }
    nmq_handover_message fixed;
    memset(&fixed, 0, sizeof fixed); // the gaps too
    fixed.expires_at_ms = message->expires_at_ms;
    fixed.payload_len = message->payload_len;
    fixed.props_len = message->props_len;
    fixed.topic_len = message->topic_len;
    fixed.qos = message->qos;
    fixed.retain = message->retain;
    put(w, &fixed, sizeof fixed);
    put(w, message->bytes, (size_t) fixed.topic_len + fixed.props_len + fixed.payload_len);
    put_origin(w, message->origin);
}

static void
put_delivery(writer *w, const nmq_delivery *d)
{
    nmq_handover_delivery fixed;

    memset(&fixed, 0, sizeof fixed); // the gaps too
    fixed.ids = d->subscription_id_count;
    fixed.group = d->group;
    fixed.qos = (uint8_t) d->qos;
    fixed.retain = (uint8_t) d->retain;

    put(w, &fixed, sizeof fixed);
    put(w, nmq_delivery_ids(d), fixed.ids * sizeof(uint32_t));
    put_message(w, d->message);
}

static void
put_in_flight(writer *w, const nmq_inflight *inflight)
{
    for (uint32_t i = 0; i < inflight->cap; i++) {
        const nmq_inflight_entry *entry = &inflight->slots[i];
        if (entry->state != NMQ_INFLIGHT_FREE) {
            put(w, &entry->order, sizeof entry->order);
            put(w, &entry->packet_id, sizeof entry->packet_id);
            put(w, &entry->state, sizeof entry->state);
            put_delivery(w, &entry->delivery);
        }
    }
}

// Whether that is passed on: the next process tells its own $SYS.
static bool
is_passed_on(const nmq_owed_entry *entry)
{
    return !nmq_topic_is_sys(nmq_retain_cursor_filter(entry->cursor));
}

static uint32_t
count_owed(const nmq_session *s)
{
    uint32_t count = 0;

    for (const nmq_owed_entry *e = s->owed != NULL ? s->owed->first : NULL; e != NULL;
         e = e->next) {
        count += is_passed_on(e);
    }
    return count;
}

static void
put_owed(writer *w, nmq_retained *retained, const nmq_owed_entry *entry, uint64_t popped)
{
    nmq_handover_owed fixed;

    if (!is_passed_on(entry)) {
        return;
    }
    memset(&fixed, 0, sizeof fixed); // the gaps too
    fixed.order = nmq_retain_cursor_order(entry->cursor);
    fixed.queued = entry->after > popped ? (uint32_t) (entry->after - popped) : 0;
    fixed.identifier = entry->identifier;
    fixed.options = entry->options;
    put(w, &fixed, sizeof fixed);
    put_text(w, nmq_retain_cursor_filter(entry->cursor));
    (void) pthread_mutex_lock(&retained->lock);
    put_text(w, nmq_retain_next(retained->store, entry->cursor, nmq_clock_now_ms()));
    (void) pthread_mutex_unlock(&retained->lock);
}

static uint32_t
group_of(nmq_sessions *sessions, const nmq_session_sub *sub)
{
    const nmq_filter filter = nmq_session_sub_filter(sub);
    const nmq_group *group = nmq_tree_group(sessions->router->tree, &filter);

    return group != NULL ? group->number : 0;
}

static void
put_session(writer *w, nmq_sessions *sessions, const nmq_session *s)
{
    for (uint32_t i = 0; i < s->sub_count; i++) {
        uint32_t group = group_of(sessions, &s->subs[i]);
        put_text(w, s->subs[i].text);
        put(w, &group, sizeof group);
        put(w, &s->subs[i].group_len, sizeof s->subs[i].group_len);
        put(w, &s->subs[i].identifier, sizeof s->subs[i].identifier);
        put(w, &s->subs[i].options, sizeof s->subs[i].options);
    }
    put_in_flight(w, &s->inflight);
    for (uint32_t i = 0; i < s->unreleased.cap; i++) {
        if (s->unreleased.slots[i] != 0) {
            put(w, &s->unreleased.slots[i], sizeof s->unreleased.slots[i]);
        }
    }
    for (uint32_t i = 0; i < s->queue.count; i++) {
        put_delivery(w, nmq_queue_at(&s->queue, i));
    }
    for (const nmq_owed_entry *e = s->owed != NULL ? s->owed->first : NULL; e != NULL;
         e = e->next) {
        put_owed(w, sessions->router->retained, e, s->owed->popped);
    }
}

// Call with the client's lock.
static void
put_client(writer *w, nmq_sessions *sessions, const nmq_client *c)
{
    const nmq_session *s = c->session;
    nmq_handover_client fixed;

    memset(&fixed, 0, sizeof fixed);
    memcpy(fixed.peer.address, c->peer.address, sizeof fixed.peer.address);
    fixed.peer.address_len = c->peer.address_len;
    fixed.peer.port = c->peer.port;
    fixed.will_due_ms = c->will_due_ms;
    fixed.expiry_due_ms = c->expiry_due_ms;
    fixed.connected_at_ms = c->connected_at_ms;
    fixed.disconnected_at_ms = c->disconnected_at_ms;
    fixed.messages_received = c->messages_received;
    fixed.messages_sent = c->messages_sent;
    fixed.messages_dropped = c->messages_dropped;
    fixed.next_order = s->inflight.next_order;
    fixed.expiry_interval_s = c->expiry_interval_s;
    fixed.will_delay_s = c->will.delay_s;
    fixed.packet_max = s->client_packet_max;
    fixed.receive_maximum = s->receive_maximum;
    fixed.subs = s->sub_count;
    fixed.in_flight = s->inflight.count;
    fixed.unreleased = s->unreleased.count;
    fixed.queued = s->queue.count;
    fixed.owed = count_owed(s);
    fixed.keep_alive_s = c->keep_alive_s;
    fixed.last_id = s->inflight.last_id;
    fixed.version = c->version;
    fixed.clean_start = c->clean_start;
    fixed.proof = c->proof;
    fixed.will_expiry_s = c->will.expiry_s;
    fixed.listener_key = c->listener_key;
    fixed.will_expires = c->will.expires;
    put(w, &fixed, sizeof fixed);
    put_text(w, s->client_id);
    put_text(w, c->user_name);
    put_text(w, s->mount);
    put_message(w, c->will.message);
    put_session(w, sessions, s);
}

static void
put_retained(writer *w, nmq_retained *retained)
{
    nmq_messages all = {0};
    nmq_handover_header head;

    memset(&head, 0, sizeof head); // the gaps too
    head.client_bytes = sizeof(nmq_handover_client);
    head.message_bytes = sizeof(nmq_handover_message);
    head.latest_group = nmq_groups_latest();
    memcpy(head.magic, NMQ_HANDOVER_MAGIC, sizeof head.magic);
    (void) pthread_mutex_lock(&retained->lock);
    int rv = nmq_retain_all(retained->store, nmq_clock_now_ms(), &all);
    (void) pthread_mutex_unlock(&retained->lock);
    w->rv = rv < 0 ? rv : w->rv;
    head.retained = all.count;
    put(w, &head, sizeof head);
    for (size_t i = 0; i < all.count; i++) {
        (void) pthread_mutex_lock(&retained->lock);
        uint64_t order = nmq_retain_order(retained->store, nmq_message_topic(all.at[i]));
        (void) pthread_mutex_unlock(&retained->lock);
        put_message(w, all.at[i]);
        put(w, &order, sizeof order);
    }
    nmq_messages_free(&all);
}

static int
put_clients(writer *w, nmq_sessions *sessions)
{
    nmq_client **all;
    int n = nmq_registry_all(&sessions->registry, &all);
    int saved = 0;

    for (int i = 0; i < n; i++) {
        (void) pthread_mutex_lock(&all[i]->lock);
        if (all[i]->expiry_interval_s != 0) {
            put_client(w, sessions, all[i]);
            saved++;
        }
        (void) pthread_mutex_unlock(&all[i]->lock);
        nmq_client_unref(all[i]);
    }
    if (n >= 0) {
        nmq_free(all);
    }
    return n < 0 ? n : saved;
}

static void
forget(nmq_map *map)
{
    for (size_t i = 0; i < map->cap; i++) {
        nmq_free(map->slots[i].value);
    }
    nmq_map_free(map);
}

int
nmq_handover_save(nmq_sessions *sessions, int fd)
{
    writer w = {.fd = fd};

    put_retained(&w, sessions->router->retained);
    int saved = put_clients(&w, sessions);
    flush(&w);
    forget(&w.messages);
    forget(&w.origins);
    nmq_buf_free(&w.buf);
    return w.rv != NMQ_OK ? w.rv : saved;
}
