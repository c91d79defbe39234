#include "store/message.h"

#include <string.h>

#include "base/counters.h"
#include "base/live.h"
#include "base/mem.h"

enum { LIVE_MESSAGES, LIVE_BYTES };

static nmq_counters live;
static size_t number_bytes; // atomic: of each message's number, or 0

size_t
nmq_message_size(const nmq_message *message)
{
    return message->size;
}

static void
count_live(const nmq_message *m, bool made)
{
    uint64_t size = nmq_message_size(m);

    nmq_counters_add(&live, LIVE_MESSAGES, made ? 1 : UINT64_MAX);
    nmq_counters_add(&live, LIVE_BYTES, made ? size : 0 - size);
}

void
nmq_message_totals(uint64_t *count, uint64_t *bytes)
{
    *count = nmq_counters_sum(&live, LIVE_MESSAGES);
    *bytes = nmq_counters_sum(&live, LIVE_BYTES);
}

static uint8_t *
append(uint8_t *to, nmq_bytes part)
{
    if (part.len > 0) {
        memcpy(to, part.at, part.len);
    }
    return to + part.len;
}

void
nmq_message_have_numbers(void)
{
    __atomic_store_n(&number_bytes, sizeof(uint64_t), __ATOMIC_RELAXED);
}

// Where the number is: the last bytes of the allocation.
static size_t
number_at(const nmq_message *message)
{
    return message->size - sizeof *message - sizeof(uint64_t);
}

uint64_t
nmq_message_number(const nmq_message *message)
{
    uint64_t number;

    memcpy(&number, message->bytes + number_at(message), sizeof number);
    return number;
}

void
nmq_message_set_number(nmq_message *message, uint64_t number)
{
    memcpy(message->bytes + number_at(message), &number, sizeof number);
}

nmq_message *
nmq_message_new(const nmq_message_parts *parts)
{
    size_t size = sizeof(nmq_message) + parts->topic_name.len + parts->props.len +
                  parts->payload.len + NMQ_LIVE(number_bytes);
    nmq_message *m = nmq_alloc(size);

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
        .published_ms = parts->published_ms,
        .origin = nmq_origin_ref(parts->origin),
        .size = (uint32_t) size, // a packet has at most 256 MiB
    };
    (void) append(append(append(m->bytes, parts->topic_name), parts->props),
                  parts->payload);
    if (NMQ_LIVE(number_bytes) > 0) {
        nmq_message_set_number(m, 0);
    }
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
        nmq_origin_unref(message->origin);
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
        .published_ms = m->published_ms,
        .origin = m->origin,
        .qos = m->qos,
        .retain = m->retain,
    };
}
