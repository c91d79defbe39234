#include "route/handover_objects.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "mqtt/topic.h"

void *
nmq_numbered_get(const nmq_numbered *list, uint64_t number)
{
    return number - 1 - list->base < list->count ? list->at[number - 1 - list->base] : NULL;
}

int
nmq_numbered_add(nmq_numbered *list, void *object)
{
    void **grown =
        nmq_vec_grow(list->at, &list->cap, (size_t) list->count + 1, 64, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    list->at = grown;
    list->at[list->count++] = object;
    return NMQ_OK;
}

bool
nmq_handover_is_time(int64_t at_ms)
{
    return at_ms >= 0 && at_ms <= NMQ_MOMENT_MAX_MS;
}

int64_t
nmq_handover_due(const nmq_objects *objects, int64_t at_ms)
{
    return nmq_moment_to_due(&objects->written, &objects->now, at_ms);
}

bool
nmq_handover_peer(nmq_bytes address, uint16_t port, nmq_peer *out)
{
    if (address.len > sizeof out->address) {
        return false;
    }
    *out = (nmq_peer){.port = port, .address_len = (uint8_t) address.len};
    if (address.len > 0) {
        memcpy(out->address, address.at, address.len);
    }
    return true;
}

int
nmq_handover_take_begin(nmq_objects *objects, const nmq_begin_record *begin)
{
    if (begin->format == 0 || begin->format > NMQ_JOURNAL_FORMAT ||
        begin->boot.len > sizeof objects->written.boot ||
        !nmq_handover_is_time(begin->wall_ms) || !nmq_handover_is_time(begin->clock_ms)) {
        return NMQ_EMALFORMED;
    }
    objects->written = (nmq_moment){.wall_ms = begin->wall_ms,
                                    .clock_ms = begin->clock_ms,
                                    .boot_len = (uint8_t) begin->boot.len};
    if (begin->boot.len > 0) {
        memcpy(objects->written.boot, begin->boot.at, begin->boot.len);
    }
    nmq_groups_begin_after(begin->latest_group);
    return NMQ_OK;
}

int
nmq_handover_take_origin(nmq_objects *objects, const nmq_origin_record *record)
{
    nmq_peer peer;

    if (record->number != nmq_numbered_next(&objects->origins) ||
        !nmq_handover_peer(record->address, record->port, &peer) ||
        record->client_id.len > UINT16_MAX || record->user_name.len > UINT16_MAX) {
        return NMQ_EMALFORMED;
    }
    nmq_origin *origin = nmq_origin_new(record->client_id, record->user_name, &peer,
                                        record->mount_len, record->listener_key);
    if (origin == NULL || nmq_numbered_add(&objects->origins, origin) != NMQ_OK) {
        nmq_origin_unref(origin);
        return NMQ_ENOMEM;
    }
    origin->superuser = record->superuser != 0;
    origin->logged = objects->keeps_numbers ? record->number : 0;
    return NMQ_OK;
}

static bool
is_message(const nmq_objects *objects, const nmq_message_record *record,
           const nmq_origin *origin)
{
    return record->number == nmq_numbered_next(&objects->messages) &&
           (record->origin == 0 || origin != NULL) && record->qos <= 2 &&
           nmq_topic_check(record->topic_name) &&
           nmq_handover_is_time(record->expires_at_ms) &&
           nmq_handover_is_time(record->published_at_ms) &&
           (origin == NULL || origin->mount_len <= record->topic_name.len);
}

static nmq_message *
make_message(const nmq_objects *objects, const nmq_message_record *record,
             nmq_origin *origin)
{
    const nmq_message_parts parts = {
        .topic_name = record->topic_name,
        .props = record->props,
        .payload = record->payload,
        .expires_at_ms = nmq_handover_due(objects, record->expires_at_ms),
        .published_ms = record->published_at_ms,
        .origin = origin,
        .qos = record->qos,
        .retain = record->retain != 0,
    };

    return nmq_message_new(&parts);
}

int
nmq_handover_take_message(nmq_objects *objects, const nmq_message_record *record)
{
    nmq_origin *origin = nmq_numbered_get(&objects->origins, record->origin);

    if (!is_message(objects, record, origin)) {
        return NMQ_EMALFORMED;
    }
    nmq_message *known = nmq_numbered_get(&objects->messages, record->was);
    nmq_message *message =
        known != NULL ? nmq_message_ref(known) : make_message(objects, record, origin);
    if (message == NULL || nmq_numbered_add(&objects->messages, message) != NMQ_OK) {
        nmq_message_unref(message);
        return NMQ_ENOMEM;
    }
    if (objects->keeps_numbers) {
        nmq_message_set_number(message, record->number);
    }
    return NMQ_OK;
}

void
nmq_objects_fini(nmq_objects *objects)
{
    for (uint32_t i = 0; i < objects->messages.count; i++) {
        nmq_message_unref(objects->messages.at[i]);
    }
    for (uint32_t i = 0; i < objects->origins.count; i++) {
        nmq_origin_unref(objects->origins.at[i]);
    }
    nmq_free(objects->messages.at);
    nmq_free(objects->origins.at);
}
