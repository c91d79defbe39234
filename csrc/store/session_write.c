#include "store/session_write.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/varint.h"

// Puts a Topic Alias in place of the name, or beside it the first time. Returns the size of
// the packet, and whether the alias is new.
static size_t
use_alias(nmq_session *s, nmq_publish_head *head, bool *is_new)
{
    bool known = false;
    size_t packet_size;
    nmq_bytes name = head->topic_name;

    *is_new = false;
    head->topic_alias = nmq_aliases_find(&s->aliases, name, &known);
    if (known) {
        head->topic_name.len = 0;
    }
    (void) nmq_encode_publish_head_size(head, &packet_size);
    if (head->topic_alias != 0 && !known && packet_size > s->packet_max) {
        head->topic_alias = 0; // it fits without
        (void) nmq_encode_publish_head_size(head, &packet_size);
    }
    *is_new = head->topic_alias != 0 && !known;
    return packet_size;
}

static void
tell_delivered(const nmq_session *s, const nmq_publish_head *head,
               const nmq_message_parts *parts)
{
    const nmq_session_event event = {
        .kind = NMQ_EVENT_DELIVERED,
        .message = parts,
        .numbers = {head->qos, head->retain, head->dup},
    };

    s->observer->tell(s->observer, s->owner, &event);
}

// Sets the topic as its client knows it. Returns as nmq_session_write_publish.
static int
use_outer_topic(const nmq_session *s, nmq_publish_head *head,
                const nmq_message_parts *parts, nmq_bytes *topic_name)
{
    if (s->outward != NULL) {
        return s->outward->map(s->outward, head, parts, topic_name);
    }
    return nmq_topic_unmount(s->mount, topic_name) ? NMQ_OK : NMQ_ETOOBIG;
}

static bool
fits(const nmq_session *s, size_t packet_size)
{
    return packet_size <= s->packet_max && packet_size <= NMQ_VARINT_MAX;
}

// Leaves out the properties that were added to the message's own. Returns the size of the
// packet. On its own, so that its address of the size costs nothing where all fits.
__attribute__((noinline)) static size_t
size_without_added(nmq_publish_head *head, const nmq_message_parts *parts)
{
    size_t packet_size;

    head->props = parts->props;
    (void) nmq_encode_publish_head_size(head, &packet_size);
    return packet_size;
}

// A packet over the Maximum Packet Size must not be sent [MQTT-3.1.2-24], and the broker
// goes on as if it had been [MQTT-3.1.2-25].
int
nmq_session_write_publish(nmq_session *s, nmq_outbox *outbox, nmq_publish_head *head,
                          const nmq_message_parts *parts, nmq_message *message,
                          int64_t now_ms)
{
    bool is_new;

    head->version = s->version;
    head->props = parts->props;
    nmq_bytes topic_name = parts->topic_name; // as the client knows it
    if (s->mount.len > 0) {
        int outer = use_outer_topic(s, head, parts, &topic_name);
        if (outer != NMQ_OK) {
            return outer;
        }
    }
    head->topic_name = topic_name;
    head->payload_len = parts->payload.len;
    if (parts->expires_at_ms != 0) { // what is left of it [MQTT-3.3.2-6]
        head->has_expiry = true;
        int64_t left_ms = parts->expires_at_ms - now_ms;
        head->expiry_interval_s = left_ms > 0 ? (uint32_t) ((left_ms + 999) / 1000) : 0;
    }
    size_t packet_size = use_alias(s, head, &is_new);
    if (!fits(s, packet_size)) {
        packet_size = size_without_added(head, parts);
        if (!fits(s, packet_size)) {
            return NMQ_ETOOBIG;
        }
    }
    int rv = nmq_outbox_publish(outbox, head, packet_size, parts->payload, message);
    if (rv == NMQ_OK && is_new) {
        (void) nmq_aliases_learn(&s->aliases, head->topic_alias, topic_name);
    }
    s->fresh.messages[head->qos] += rv == NMQ_OK;
    if ((NMQ_LIVE(s->observer->wanted) >> NMQ_EVENT_DELIVERED & 1) != 0 && rv == NMQ_OK) {
        tell_delivered(s, head, parts);
    }
    return rv;
}

int
nmq_session_write_entry(nmq_session *s, nmq_outbox *outbox, const nmq_inflight_entry *entry,
                        bool dup, int64_t now_ms)
{
    const nmq_delivery *d = &entry->delivery;
    nmq_message_parts parts = nmq_message_parts_of(d->message);
    nmq_publish_head head = {
        .qos = d->qos,
        .retain = d->retain,
        .dup = dup,
        .packet_id = entry->packet_id,
        .subscription_ids = nmq_delivery_ids(d),
        .subscription_id_count = d->subscription_id_count,
    };

    return nmq_session_write_publish(s, outbox, &head, &parts, d->message, now_ms);
}

int
nmq_session_write_pubrel(nmq_session *s, nmq_outbox *outbox, uint16_t packet_id,
                         uint8_t reason_code)
{
    uint8_t bytes[NMQ_ACK_MAX_BYTES];
    uint8_t *end = nmq_encode_ack(bytes, s->version, NMQ_PUBREL, packet_id, reason_code);

    int rv = nmq_outbox_put(outbox, (nmq_bytes){bytes, (size_t) (end - bytes)});
    s->fresh.pubrel += rv == NMQ_OK;
    return rv;
}
