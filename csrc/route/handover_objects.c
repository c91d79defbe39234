#include "route/handover_objects.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"

enum { SET_MS = 2000 }; // clocks that are so far apart were set

static void
unref_message(void *message)
{
    nmq_message_unref(message);
}

static void
unref_origin(void *origin)
{
    nmq_origin_unref(origin);
}

void
nmq_objects_init(nmq_objects *objects, int64_t over_ms)
{
    *objects = (nmq_objects){.now = nmq_moment_now(),
                             .over_ms = over_ms,
                             .messages.unref = unref_message,
                             .origins.unref = unref_origin};
    if (over_ms == 0 || !nmq_handover_is_time(over_ms)) {
        objects->over_ms = objects->now.wall_ms;
    } else if (over_ms > objects->now.wall_ms) { // it woke up in 1970
        objects->now.wall_ms = over_ms;
    }
}

// Whether both clocks have gone on alike since BEGIN, as far as one can tell.
static bool
is_one_time(const nmq_objects *objects, int64_t wall_ms)
{
    const nmq_moment *written = &objects->written;
    int64_t most_ms = objects->now.clock_ms - written->clock_ms;
    int64_t gone_ms = wall_ms - written->wall_ms;

    return nmq_moment_is_one_clock(written, &objects->now) && gone_ms >= -SET_MS &&
           gone_ms <= most_ms + SET_MS;
}

void
nmq_objects_pass_to(nmq_objects *objects, int64_t wall_ms)
{
    if (nmq_handover_is_time(wall_ms) && !is_one_time(objects, wall_ms)) {
        objects->written = (nmq_moment){.wall_ms = wall_ms};
    }
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

// Whether a new object may have that number. Where records are missing, so are numbers.
static bool
is_next(const nmq_objects *objects, const nmq_known *known, uint64_t number)
{
    return objects->lenient ? number > known->base : number == known->base + 1;
}

int
nmq_handover_take_origin(nmq_objects *objects, const nmq_origin_record *record)
{
    nmq_peer peer;

    if (!is_next(objects, &objects->origins, record->number) ||
        !nmq_handover_peer(record->address, record->port, &peer) ||
        record->client_id.len > UINT16_MAX || record->user_name.len > UINT16_MAX) {
        return NMQ_EMALFORMED;
    }
    nmq_origin *origin = nmq_origin_new(record->client_id, record->user_name, &peer,
                                        record->mount_len, record->listener_key);
    if (origin == NULL) {
        return NMQ_ENOMEM;
    }
    origin->superuser = record->superuser != 0;
    origin->logged = objects->keeps_numbers ? record->number : 0;
    int rv =
        nmq_known_add(&objects->origins, &objects->uses.origins, record->number, origin);
    if (rv != NMQ_OK) {
        nmq_origin_unref(origin);
    }
    return rv;
}

static bool
is_message(const nmq_objects *objects, const nmq_message_record *record,
           const nmq_origin *origin)
{
    return is_next(objects, &objects->messages, record->number) &&
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

// The publisher of a message, with a reference; NULL: the broker, or not kept. One that is
// lost is not taken for the broker. Returns NMQ_OK, NMQ_EMALFORMED or NMQ_ENOMEM.
static int
find_origin(nmq_objects *objects, uint64_t number, nmq_origin **out)
{
    const nmq_peer nowhere = {0};

    *out = nmq_origin_ref(nmq_known_get(&objects->origins, number));
    if (number == 0 || *out != NULL) {
        return NMQ_OK;
    }
    if (!objects->lenient && number > objects->origins_before) {
        return NMQ_EMALFORMED;
    }
    if (objects->nowhere == NULL) {
        objects->nowhere = nmq_origin_new(nmq_bytes_of(""), (nmq_bytes){0}, &nowhere, 0, 0);
    }
    *out = nmq_origin_ref(objects->nowhere);
    return *out != NULL ? NMQ_OK : NMQ_ENOMEM;
}

static int
take_message(nmq_objects *objects, const nmq_message_record *record, nmq_origin *origin)
{
    if (!is_message(objects, record, origin)) {
        return NMQ_EMALFORMED;
    }
    nmq_message *known = nmq_known_get(&objects->messages, record->was);
    if (known != NULL && known->origin != NULL && known->origin == objects->nowhere) {
        known->origin = nmq_origin_ref(origin); // it was logged before the records
        nmq_origin_unref(objects->nowhere);
    }
    nmq_message *message =
        known != NULL ? nmq_message_ref(known) : make_message(objects, record, origin);
    if (message == NULL) {
        return NMQ_ENOMEM;
    }
    if (objects->keeps_numbers) {
        nmq_message_set_number(message, record->number);
    }
    int rv =
        nmq_known_add(&objects->messages, &objects->uses.messages, record->number, message);
    if (rv != NMQ_OK) {
        nmq_message_unref(message);
    }
    return rv;
}

int
nmq_handover_take_message(nmq_objects *objects, const nmq_message_record *record)
{
    nmq_origin *origin;
    int rv = find_origin(objects, record->origin, &origin);

    rv = rv == NMQ_OK ? take_message(objects, record, origin) : rv;
    nmq_origin_unref(origin);
    return rv;
}

nmq_message *
nmq_objects_message(nmq_objects *objects, uint64_t number, int *rv)
{
    const nmq_message_parts nothing = {.topic_name = nmq_bytes_of("-"), .qos = 1};
    nmq_message *message = nmq_known_get(&objects->messages, number);

    if (message != NULL || number == 0 || number > objects->messages_before) {
        return message;
    }
    if (objects->hole == NULL) {
        objects->hole = nmq_message_new(&nothing);
        *rv = objects->hole != NULL ? *rv : NMQ_ENOMEM;
    }
    return objects->hole;
}

// Takes the Subscription Identifiers over. Returns NMQ_OK or NMQ_ENOMEM.
static int
take_ids(nmq_delivery *d, nmq_bytes list)
{
    uint32_t count = (uint32_t) (list.len / sizeof(uint32_t));
    uint32_t *ids = &d->subscription.id;

    if (count > 1) {
        ids = d->subscription.ids = nmq_alloc(count * sizeof *ids);
        if (ids == NULL) {
            return NMQ_ENOMEM;
        }
    }
    d->subscription_id_count = count & NMQ_DELIVERY_IDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = nmq_journal_u32_at(list.at + i * sizeof *ids);
    }
    return NMQ_OK;
}

int
nmq_objects_delivery(nmq_objects *objects, const nmq_delivery_record *record,
                     nmq_delivery *out)
{
    int rv = NMQ_OK;
    nmq_message *message = nmq_objects_message(objects, record->message, &rv);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (record->qos > 2 || (record->message != 0 && message == NULL) ||
        record->subscription_ids.len / sizeof(uint32_t) > NMQ_DELIVERY_IDS_MAX) {
        return NMQ_EMALFORMED;
    }
    *out = (nmq_delivery){
        .group = record->group, .qos = record->qos & 3u, .retain = record->retain != 0};
    out->message = message != NULL ? nmq_message_ref(message) : NULL;
    rv = take_ids(out, record->subscription_ids);
    if (rv != NMQ_OK) {
        nmq_delivery_fini(out);
    }
    return rv;
}

void
nmq_objects_named(nmq_objects *objects, const nmq_journal_record *record)
{
    const nmq_named named = nmq_handover_names(record);

    nmq_known_named(&objects->messages, named.message);
    nmq_known_named(&objects->origins, named.origin);
}

void
nmq_objects_fini(nmq_objects *objects)
{
    nmq_known_fini(&objects->messages);
    nmq_known_fini(&objects->origins);
    nmq_message_unref(objects->hole);
    nmq_origin_unref(objects->nowhere);
    nmq_handover_uses_fini(&objects->uses);
}
