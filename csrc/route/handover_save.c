#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/moment.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "route/handover_save.h"
#include "store/journal_record.h"
#include "store/session_subs.h"

enum { FLUSH_BYTES = 1 << 16 };

// A message or an origin that was written already, and its number.
typedef struct {
    const void *object; // its address is the key
    uint64_t number;
} known;

typedef struct {
    nmq_sessions *from;
    int fd;
    int rv; // the first failure; then nothing more is written
    nmq_moment now;
    nmq_buf buf;
    nmq_map messages; // address -> known
    nmq_map origins;  // address -> known
    nmq_buf ids;      // see list_ids
    uint64_t sessions;
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
put(writer *w, const nmq_journal_record *record)
{
    if (w->rv == NMQ_OK) {
        w->rv = nmq_journal_put(&w->buf, record);
    }
    if (w->buf.len >= FLUSH_BYTES) {
        flush(w);
    }
}

static const known *
find(const nmq_map *map, const void *object)
{
    return nmq_map_get(map, (nmq_bytes){(const uint8_t *) &object, sizeof object});
}

// Notes the object under the next number. Returns it, or 0 with w->rv set.
static uint64_t
note(writer *w, nmq_map *map, const void *object)
{
    known *k = nmq_alloc(sizeof *k);

    if (k == NULL) {
        w->rv = NMQ_ENOMEM;
        return 0;
    }
    *k = (known){object, map->count + 1};
    nmq_bytes key = {(const uint8_t *) &k->object, sizeof k->object};
    if (nmq_map_put(map, key, k) != NMQ_OK) {
        nmq_free(k);
        w->rv = NMQ_ENOMEM;
        return 0;
    }
    return k->number;
}

static nmq_bytes
address_of(const nmq_peer *peer)
{
    return (nmq_bytes){peer->address, peer->address_len};
}

// Returns the number of the origin, which is written the first time; 0: none.
static uint64_t
put_origin(writer *w, const nmq_origin *origin)
{
    const known *k = origin != NULL ? find(&w->origins, origin) : NULL;

    if (origin == NULL || k != NULL) {
        return k != NULL ? k->number : 0;
    }
    uint64_t number = note(w, &w->origins, origin);
    put(w, &(nmq_journal_record){.kind = NMQ_JOURNAL_ORIGIN,
                                 .origin = {.number = number,
                                            .mount_len = origin->mount_len,
                                            .port = origin->peer.port,
                                            .address = address_of(&origin->peer),
                                            .client_id = nmq_origin_client_id(origin),
                                            .user_name = nmq_origin_user_name(origin),
                                            .listener_key = origin->listener_key,
                                            .superuser = origin->superuser}});
    return number;
}

// Returns the number of the message, which is written the first time; 0: none.
static uint64_t
put_message(writer *w, const nmq_message *message)
{
    const known *k = message != NULL ? find(&w->messages, message) : NULL;

    if (message == NULL || k != NULL) {
        return k != NULL ? k->number : 0;
    }
    uint64_t origin = put_origin(w, message->origin);
    uint64_t number = note(w, &w->messages, message);
    put(w, &(nmq_journal_record){.kind = NMQ_JOURNAL_MESSAGE,
                                 .message = {.number = number,
                                             .origin = origin,
                                             .expires_at_ms = nmq_moment_to_wall(
                                                 &w->now, message->expires_at_ms),
                                             .qos = message->qos,
                                             .retain = message->retain,
                                             .topic_name = nmq_message_topic(message),
                                             .props = nmq_message_props(message),
                                             .payload = nmq_message_payload(message),
                                             .published_at_ms = message->published_ms}});
    return number;
}

// The Subscription Identifiers as a list; it holds until the next one.
static nmq_bytes
list_ids(writer *w, const nmq_delivery *d)
{
    size_t bytes = d->subscription_id_count * sizeof(uint32_t);

    if (bytes == 0) {
        return (nmq_bytes){0};
    }
    w->ids.len = 0;
    uint8_t *at = nmq_buf_reserve(&w->ids, bytes);
    if (at == NULL) {
        w->rv = NMQ_ENOMEM;
        return (nmq_bytes){0};
    }
    for (uint32_t i = 0; i < d->subscription_id_count; i++) {
        at = nmq_journal_put_u32(at, nmq_delivery_ids(d)[i]);
    }
    return (nmq_bytes){w->ids.at, bytes};
}

// Writes the delivery with what the caller says of its place.
static void
put_delivery(writer *w, const nmq_delivery *d, nmq_delivery_record place)
{
    place.session = w->sessions;
    place.message = put_message(w, d->message);
    place.group = d->group;
    place.qos = (uint8_t) d->qos;
    place.retain = (uint8_t) d->retain;
    place.subscription_ids = list_ids(w, d);
    put(w, &(nmq_journal_record){.kind = NMQ_JOURNAL_DELIVERY, .delivery = place});
}

static void
put_in_flight(writer *w, const nmq_inflight *inflight)
{
    for (uint32_t i = 0; i < inflight->cap; i++) {
        const nmq_inflight_entry *entry = &inflight->slots[i];
        if (entry->state != NMQ_INFLIGHT_FREE) {
            put_delivery(w, &entry->delivery,
                         (nmq_delivery_record){.order = entry->order,
                                               .packet_id = entry->packet_id,
                                               .state = entry->state});
        }
    }
}

static void
put_owed(writer *w, nmq_retained *retained, const nmq_owed_entry *entry, uint64_t popped)
{
    const nmq_bytes filter = nmq_retain_cursor_filter(entry->cursor);

    if (nmq_topic_is_sys(filter)) {
        return; // the next process publishes its own
    }
    nmq_journal_record record = {
        .kind = NMQ_JOURNAL_OWED,
        .owed = {.session = w->sessions,
                 .order = nmq_retain_cursor_order(entry->cursor),
                 .queued = entry->after > popped ? (uint32_t) (entry->after - popped) : 0,
                 .identifier = entry->identifier,
                 .options = entry->options,
                 .filter = filter}};
    (void) pthread_mutex_lock(&retained->lock);
    record.owed.topic_name =
        nmq_retain_next(retained->store, entry->cursor, w->now.clock_ms);
    put(w, &record);
    (void) pthread_mutex_unlock(&retained->lock);
}

static void
put_subscription(writer *w, nmq_sessions *sessions, const nmq_session_sub *sub)
{
    const nmq_filter filter = nmq_session_sub_filter(sub);
    const nmq_group *group = nmq_tree_group(sessions->router->tree, &filter);

    put(w,
        &(nmq_journal_record){.kind = NMQ_JOURNAL_SUBSCRIPTION,
                              .subscription = {.session = w->sessions,
                                               .group = group != NULL ? group->number : 0,
                                               .identifier = sub->identifier,
                                               .group_len = sub->group_len,
                                               .options = sub->options,
                                               .filter = sub->text}});
}

static void
put_state(writer *w, nmq_sessions *sessions, const nmq_session *s)
{
    for (uint32_t i = 0; i < s->sub_count; i++) {
        put_subscription(w, sessions, &s->subs[i]);
    }
    put_in_flight(w, &s->inflight);
    for (uint32_t i = 0; i < s->unreleased.cap; i++) {
        if (s->unreleased.slots[i] != 0) {
            put(w,
                &(nmq_journal_record){.kind = NMQ_JOURNAL_UNRELEASED,
                                      .unreleased = {.session = w->sessions,
                                                     .packet_id = s->unreleased.slots[i]}});
        }
    }
    for (uint32_t i = 0; i < s->queue.count; i++) {
        put_delivery(w, nmq_queue_at(&s->queue, i), (nmq_delivery_record){0});
    }
    for (const nmq_owed_entry *e = s->owed != NULL ? s->owed->first : NULL; e != NULL;
         e = e->next) {
        put_owed(w, sessions->router->retained, e, s->owed->popped);
    }
}

static void
put_will(writer *w, const nmq_client *c)
{
    if (c->will.message == NULL) {
        return;
    }
    uint64_t message = put_message(w, c->will.message);
    put(w, &(nmq_journal_record){
               .kind = NMQ_JOURNAL_WILL,
               .will = {.session = w->sessions,
                        .message = message,
                        .due_at_ms = nmq_moment_to_wall(&w->now, c->will_due_ms),
                        .delay_s = c->will.delay_s,
                        .expiry_s = c->will.expiry_s,
                        .expires = c->will.expires}});
}

// Call with the client's lock.
static void
put_session(writer *w, const nmq_client *c, uint32_t taken)
{
    const nmq_session *s = c->session;

    w->sessions++;
    put(w, &(nmq_journal_record){
               .kind = NMQ_JOURNAL_SESSION,
               .session = {.number = w->sessions,
                           .expiry_interval_s = c->expiry_interval_s,
                           .expires_at_ms = nmq_moment_to_wall(&w->now, c->expiry_due_ms),
                           .connected_at_ms = c->connected_at_ms,
                           .disconnected_at_ms = c->disconnected_at_ms,
                           .messages_received = c->messages_received,
                           .messages_sent = c->messages_sent,
                           .messages_dropped = c->messages_dropped,
                           .next_order = s->inflight.next_order,
                           .last_id = s->inflight.last_id,
                           .listener_key = c->listener_key,
                           .client_packet_max = s->client_packet_max,
                           .receive_maximum = s->receive_maximum,
                           .keep_alive_s = c->keep_alive_s,
                           .version = c->version,
                           .clean_start = c->clean_start,
                           .proof = c->proof,
                           .superuser = c->superuser,
                           .port = c->peer.port,
                           .address = address_of(&c->peer),
                           .client_id = s->client_id,
                           .user_name = c->user_name,
                           .mount = s->mount,
                           .consumes = c->consumes,
                           .taken = taken,
                           .queue_max = c->consumes ? s->queue_max : 0,
                           .queue_max_bytes = c->consumes ? s->queue_max_bytes : 0,
                           .created_at_ms = c->created_at_ms}});
    put_will(w, c);
    put_state(w, w->from, s);
}

static void
put_begin(writer *w)
{
    put(w, &(nmq_journal_record){.kind = NMQ_JOURNAL_BEGIN,
                                 .begin = {.format = NMQ_JOURNAL_FORMAT,
                                           .latest_group = nmq_groups_latest(),
                                           .wall_ms = w->now.wall_ms,
                                           .clock_ms = w->now.clock_ms,
                                           .boot = {w->now.boot, w->now.boot_len}}});
}

static void
put_retained(writer *w, nmq_retained *retained)
{
    nmq_messages all = {0};

    (void) pthread_mutex_lock(&retained->lock);
    int rv = nmq_retain_all(retained->store, w->now.clock_ms, &all);
    (void) pthread_mutex_unlock(&retained->lock);
    w->rv = rv < 0 ? rv : w->rv;
    for (size_t i = 0; i < all.count; i++) {
        nmq_bytes topic_name = nmq_message_topic(all.at[i]);
        if (nmq_topic_is_sys(topic_name)) {
            continue;
        }
        (void) pthread_mutex_lock(&retained->lock);
        uint64_t order = nmq_retain_order(retained->store, topic_name);
        (void) pthread_mutex_unlock(&retained->lock);
        uint64_t message = put_message(w, all.at[i]);
        put(w, &(nmq_journal_record){.kind = NMQ_JOURNAL_RETAINED,
                                     .retained = {.message = message, .order = order}});
    }
    nmq_messages_free(&all);
}

static void
put_consumer(void *arg, const nmq_client *client, uint32_t taken)
{
    put_session(arg, client, taken);
}

static void
put_sessions(writer *w)
{
    nmq_lanes *lanes = w->from->router->lanes;
    nmq_client **all;
    int n = nmq_registry_all(&w->from->registry, &all);

    for (int i = 0; i < n; i++) {
        nmq_lanes_freeze(lanes); // a program may still subscribe clients
        (void) pthread_mutex_lock(&all[i]->lock);
        if (all[i]->expiry_interval_s != 0) {
            put_session(w, all[i], 0);
        }
        (void) pthread_mutex_unlock(&all[i]->lock);
        nmq_lanes_thaw(lanes);
        nmq_client_unref(all[i]);
    }
    if (n >= 0) {
        nmq_free(all);
    } else {
        w->rv = n;
    }
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
nmq_handover_save(nmq_sessions *sessions, nmq_consumers *consumers, int fd)
{
    writer w = {.from = sessions, .fd = fd, .now = nmq_moment_now()};

    put_begin(&w);
    put_retained(&w, sessions->router->retained);
    put_sessions(&w);
    nmq_consumers_each(consumers, put_consumer, &w);
    put(&w,
        &(nmq_journal_record){.kind = NMQ_JOURNAL_END, .end = {.sessions = w.sessions}});
    flush(&w);
    forget(&w.messages);
    forget(&w.origins);
    nmq_buf_free(&w.ids);
    nmq_buf_free(&w.buf);
    return w.rv != NMQ_OK ? w.rv : (int) w.sessions;
}
