#include "store/message.h"

#include <stdalign.h>
#include <string.h>

#include "base/mem.h"
#include "base/shard.h"

// A message that one thread makes and another frees counts in two shards; only the sums
// mean something.
static struct {
    alignas(NMQ_CACHE_LINE) uint64_t count;
    uint64_t bytes;
} live[NMQ_SHARDS];

static size_t
size_of(const nmq_message *m)
{
    return sizeof *m + m->topic_len + m->props_len + m->payload_len;
}

static void
count_live(const nmq_message *m, bool made)
{
    unsigned shard = nmq_shard();
    uint64_t size = size_of(m);

    (void) __atomic_add_fetch(&live[shard].count, made ? 1 : UINT64_MAX, __ATOMIC_RELAXED);
    (void) __atomic_add_fetch(&live[shard].bytes, made ? size : 0 - size, __ATOMIC_RELAXED);
}

void
nmq_message_totals(uint64_t *count, uint64_t *bytes)
{
    *count = *bytes = 0;
    for (unsigned i = 0; i < NMQ_SHARDS; i++) {
        *count += __atomic_load_n(&live[i].count, __ATOMIC_RELAXED);
        *bytes += __atomic_load_n(&live[i].bytes, __ATOMIC_RELAXED);
    }
}

static uint8_t *
append(uint8_t *to, nmq_bytes part)
{
    if (part.len > 0) {
        memcpy(to, part.at, part.len);
    }
    return to + part.len;
}

nmq_message *
nmq_message_new(const nmq_message_parts *parts)
{
    size_t size = parts->topic_name.len + parts->props.len + parts->payload.len;
    nmq_message *m = nmq_alloc(sizeof *m + size);

    if (m == NULL) {
        return NULL;
    }
    *m = (nmq_message){
        .refs = 1,
        .payload_len = (uint32_t) parts->payload.len,
        .props_len = (uint32_t) parts->props.len,
        .topic_len = (uint16_t) parts->topic_name.len,
        .qos = parts->qos,
        .retain = parts->retain,
        .expires_at_ms = parts->expires_at_ms,
        .publisher = parts->publisher,
    };
    (void) append(append(append(m->bytes, parts->topic_name), parts->props),
                  parts->payload);
    count_live(m, true);
    return m;
}

nmq_message *
nmq_message_ref(nmq_message *message)
{
    (void) __atomic_add_fetch(&message->refs, 1, __ATOMIC_RELAXED);
    return message;
}

void
nmq_message_unref(nmq_message *message)
{
    if (message != NULL && __atomic_sub_fetch(&message->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        count_live(message, false);
        nmq_free(message);
    }
}

nmq_bytes
nmq_message_topic(const nmq_message *message)
{
    return (nmq_bytes){message->bytes, message->topic_len};
}

nmq_bytes
nmq_message_props(const nmq_message *message)
{
    return (nmq_bytes){message->bytes + message->topic_len, message->props_len};
}

nmq_bytes
nmq_message_payload(const nmq_message *message)
{
    return (nmq_bytes){message->bytes + message->topic_len + message->props_len,
                       message->payload_len};
}

bool
nmq_message_is_expired(const nmq_message *message, int64_t now_ms)
{
    return message->expires_at_ms != 0 && message->expires_at_ms <= now_ms;
}

nmq_message_parts
nmq_message_parts_of(const nmq_message *m)
{
    return (nmq_message_parts){
        .topic_name = nmq_message_topic(m),
        .props = nmq_message_props(m),
        .payload = nmq_message_payload(m),
        .expires_at_ms = m->expires_at_ms,
        .publisher = m->publisher,
        .qos = m->qos,
        .retain = m->retain,
    };
}
