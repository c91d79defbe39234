#include "store/object_record.h"

#include "base/status.h"

nmq_journal_record
nmq_record_of_origin(const nmq_origin *origin, uint64_t number)
{
    return (nmq_journal_record){
        .kind = NMQ_JOURNAL_ORIGIN,
        .origin = {.number = number,
                   .mount_len = origin->mount_len,
                   .port = origin->peer.port,
                   .address = {origin->peer.address, origin->peer.address_len},
                   .client_id = nmq_origin_client_id(origin),
                   .user_name = nmq_origin_user_name(origin),
                   .listener_key = origin->listener_key,
                   .superuser = origin->superuser},
    };
}

// Only the part of the record that its kind has is written: this is done for each message.
void
nmq_record_of_message(nmq_journal_record *out, const nmq_message *message, uint64_t number,
                      uint64_t origin, const nmq_moment *now)
{
    out->kind = NMQ_JOURNAL_MESSAGE;
    out->message = (nmq_message_record){.number = number,
                                        .origin = origin,
                                        .expires_at_ms =
                                            nmq_moment_to_wall(now, message->expires_at_ms),
                                        .qos = message->qos,
                                        .retain = message->retain,
                                        .topic_name = nmq_message_topic(message),
                                        .props = nmq_message_props(message),
                                        .payload = nmq_message_payload(message),
                                        .published_at_ms = message->published_ms};
}

void
nmq_record_of_delivery(nmq_journal_record *out, const nmq_delivery *delivery,
                       uint64_t session, uint64_t message, const nmq_inflight_entry *entry,
                       nmq_bytes ids)
{
    out->kind = NMQ_JOURNAL_DELIVERY;
    out->delivery =
        (nmq_delivery_record){.session = session,
                              .message = message,
                              .group = delivery->group,
                              .qos = (uint8_t) delivery->qos,
                              .retain = (uint8_t) delivery->retain,
                              .subscription_ids = ids.len > 0 ? ids : (nmq_bytes){0}};
    if (entry != NULL) {
        out->delivery.order = entry->order;
        out->delivery.packet_id = entry->packet_id;
        out->delivery.state = entry->state;
    }
}

void
nmq_record_of_identifier(nmq_journal_record *out, const nmq_inflight_entry *entry,
                         uint64_t session)
{
    nmq_inflight_entry received = *entry;

    received.state = NMQ_INFLIGHT_PUBCOMP;
    nmq_record_of_delivery(out, &entry->delivery, session, 0, &received, (nmq_bytes){0});
}

int
nmq_record_ids(const nmq_delivery *delivery, nmq_buf *out)
{
    size_t bytes = delivery->subscription_id_count * sizeof(uint32_t);

    out->len = 0;
    uint8_t *at = bytes > 0 ? nmq_buf_reserve(out, bytes) : NULL;
    if (bytes > 0 && at == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < delivery->subscription_id_count; i++) {
        at = nmq_journal_put_u32(at, nmq_delivery_ids(delivery)[i]);
    }
    out->len = bytes;
    return NMQ_OK;
}
