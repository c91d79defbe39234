#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/moment.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "route/handover_save.h"
#include "route/session_records.h"

enum { FLUSH_BYTES = 1 << 16 };

// A message or an origin that was written already, and its number.
typedef struct {
    const void *object; // its address is the key
    uint64_t number;
} known;

typedef struct {
    nmq_record_sink base; // first
    nmq_sessions *from;
    int fd;
    nmq_buf buf;
    nmq_map messages; // address -> known
    nmq_map origins;  // address -> known
    uint64_t sessions;
} writer;

static writer *
writer_of(nmq_record_sink *sink)
{
    return (writer *) (void *) sink;
}

static void
flush(writer *w)
{
    size_t at = 0;

    while (w->base.rv == NMQ_OK && at < w->buf.len) {
        ssize_t n = write(w->fd, w->buf.at + at, w->buf.len - at);
        if (n > 0) {
            at += (size_t) n;
        } else if (errno != EINTR) {
            w->base.rv = NMQ_EIO;
        }
    }
    w->buf.len = 0;
}

// nmq_record_sink.put
static void
put(nmq_record_sink *sink, const nmq_journal_record *record)
{
    writer *w = writer_of(sink);

    if (sink->rv == NMQ_OK) {
        sink->rv = nmq_journal_put(&w->buf, record);
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

// Notes the object under the next number. Returns it, or 0 with w->base.rv set.
static uint64_t
note(writer *w, nmq_map *map, const void *object)
{
    known *k = nmq_alloc(sizeof *k);

    if (k == NULL) {
        w->base.rv = NMQ_ENOMEM;
        return 0;
    }
    *k = (known){object, map->count + 1};
    nmq_bytes key = {(const uint8_t *) &k->object, sizeof k->object};
    if (nmq_map_put(map, key, k) != NMQ_OK) {
        nmq_free(k);
        w->base.rv = NMQ_ENOMEM;
        return 0;
    }
    return k->number;
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
    const nmq_journal_record record = nmq_record_of_origin(origin, number);
    put(&w->base, &record);
    return number;
}

// nmq_record_sink.message
static uint64_t
put_message(nmq_record_sink *sink, nmq_message *message)
{
    writer *w = writer_of(sink);
    const known *k = find(&w->messages, message);

    if (k != NULL) {
        return k->number;
    }
    uint64_t origin = put_origin(w, message->origin);
    uint64_t number = note(w, &w->messages, message);
    nmq_journal_record record;
    nmq_record_of_message(&record, message, number, origin, &sink->now);
    put(sink, &record);
    return number;
}

// Call with the client's lock.
static void
put_session(writer *w, const nmq_client *client, uint32_t taken)
{
    w->sessions++;
    nmq_record_put_session(&w->base, w->from->router, client, w->sessions, taken);
}

static void
put_begin(writer *w)
{
    put(&w->base,
        &(nmq_journal_record){.kind = NMQ_JOURNAL_BEGIN,
                              .begin = {.format = NMQ_JOURNAL_FORMAT,
                                        .latest_group = nmq_groups_latest(),
                                        .wall_ms = w->base.now.wall_ms,
                                        .clock_ms = w->base.now.clock_ms,
                                        .boot = {w->base.now.boot, w->base.now.boot_len}}});
}

static void
put_retained(writer *w, nmq_retained *retained)
{
    nmq_messages all = {0};

    (void) pthread_mutex_lock(&retained->lock);
    int rv = nmq_retain_all(retained->store, w->base.now.clock_ms, &all);
    (void) pthread_mutex_unlock(&retained->lock);
    w->base.rv = rv < 0 ? rv : w->base.rv;
    for (size_t i = 0; i < all.count; i++) {
        nmq_bytes topic_name = nmq_message_topic(all.at[i]);
        if (nmq_topic_is_sys(topic_name)) {
            continue;
        }
        (void) pthread_mutex_lock(&retained->lock);
        uint64_t order = nmq_retain_order(retained->store, topic_name);
        (void) pthread_mutex_unlock(&retained->lock);
        uint64_t message = put_message(&w->base, all.at[i]);
        put(&w->base,
            &(nmq_journal_record){.kind = NMQ_JOURNAL_RETAINED,
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
        w->base.rv = n;
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
    writer w = {
        .base = {.put = put, .message = put_message, .now = nmq_moment_now()},
        .from = sessions,
        .fd = fd,
    };

    put_begin(&w);
    put_retained(&w, sessions->router->retained);
    put_sessions(&w);
    nmq_consumers_each(consumers, put_consumer, &w);
    put(&w.base,
        &(nmq_journal_record){.kind = NMQ_JOURNAL_END, .end = {.sessions = w.sessions}});
    flush(&w);
    forget(&w.messages);
    forget(&w.origins);
    nmq_buf_free(&w.base.ids);
    nmq_buf_free(&w.buf);
    return w.base.rv != NMQ_OK ? w.base.rv : (int) w.sessions;
}
