#include "mqtt/encode.h"

#include "base/status.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"
#include "mqtt/varint.h"
#include "mqtt/wire.h"

static size_t
publish_props_size(const nmq_publish_head *head)
{
    size_t size =
        head->props.len + (head->has_expiry ? 5 : 0) + (head->topic_alias != 0 ? 3 : 0);

    for (unsigned i = 0; i < head->subscription_id_count; i++) {
        size += 1 + nmq_varint_size(head->subscription_ids[i]);
    }
    return size;
}

size_t
nmq_encode_publish_head_size(const nmq_publish_head *head, size_t *packet_size)
{
    size_t variable = 2 + head->topic_name.len + (head->qos > 0 ? 2 : 0);

    if (head->version == NMQ_V5) {
        size_t props = publish_props_size(head);
        variable += nmq_varint_size((uint32_t) props) + props;
    }
    size_t fixed = 1 + nmq_varint_size((uint32_t) (variable + head->payload_len));
    *packet_size = fixed + variable + head->payload_len;
    return fixed + variable;
}

uint8_t *
nmq_encode_publish_head(uint8_t *to, const nmq_publish_head *head, size_t packet_size)
{
    // The size of the length itself follows from the sizes around it.
    size_t body = packet_size - 2;
    while (1 + nmq_varint_size((uint32_t) body) + body > packet_size) {
        body--;
    }
    *to++ = (uint8_t) (NMQ_PUBLISH << 4 | (head->dup ? 8 : 0) | head->qos << 1 |
                       (head->retain ? 1 : 0));
    to = nmq_varint_write(to, (uint32_t) body);
    to = nmq_wire_put_text(to, head->topic_name);
    if (head->qos > 0) {
        to = nmq_wire_put_u16(to, head->packet_id);
    }
    if (head->version != NMQ_V5) {
        return to;
    }
    // the length is zero where there are no properties [MQTT-2.2.2-1]
    to = nmq_varint_write(to, (uint32_t) publish_props_size(head));
    if (head->has_expiry) {
        *to++ = NMQ_PROP_MESSAGE_EXPIRY_INTERVAL;
        to = nmq_wire_put_u32(to, head->expiry_interval_s);
    }
    if (head->topic_alias != 0) {
        *to++ = NMQ_PROP_TOPIC_ALIAS;
        to = nmq_wire_put_u16(to, head->topic_alias);
    }
    for (unsigned i = 0; i < head->subscription_id_count; i++) {
        *to++ = NMQ_PROP_SUBSCRIPTION_IDENTIFIER;
        to = nmq_varint_write(to, head->subscription_ids[i]);
    }
    return nmq_wire_put_raw(to, head->props);
}

// The identifier is that of the PUBLISH [MQTT-2.2.1-5].
uint8_t *
nmq_encode_ack(uint8_t *to, uint8_t version, uint8_t type, uint16_t packet_id,
               uint8_t reason_code)
{
    bool with_code = version == NMQ_V5 && reason_code != 0;

    *to++ = (uint8_t) (type << 4 | (type == NMQ_PUBREL ? 2 : 0)); // [MQTT-3.6.1-1]
    *to++ = with_code ? 3 : 2;
    to = nmq_wire_put_u16(to, packet_id);
    if (with_code) {
        *to++ = reason_code;
    }
    return to;
}

int
nmq_encode_filter(nmq_buf *list, nmq_bytes filter)
{
    if (filter.len > NMQ_TOPIC_MAX_BYTES) {
        return NMQ_ETOOBIG;
    }
    uint8_t *to = nmq_buf_reserve(list, 2 + filter.len);
    if (to == NULL) {
        return NMQ_ENOMEM;
    }
    (void) nmq_wire_put_text(to, filter);
    list->len += 2 + filter.len;
    return NMQ_OK;
}

int
nmq_encode_subscription(nmq_buf *list, nmq_bytes filter, uint8_t options)
{
    size_t before = list->len;
    int rv = nmq_encode_filter(list, filter);

    if (rv == NMQ_OK) {
        rv = nmq_buf_put(list, (nmq_bytes){&options, 1});
    }
    list->len = rv == NMQ_OK ? list->len : before;
    return rv;
}

// A body is measured with `to` NULL and written with the same code, so that the two cannot
// disagree.
typedef struct {
    uint8_t *to; // NULL: only count
    size_t size;
    bool too_big;
} sink;

static void
put_u8(sink *s, uint8_t value)
{
    if (s->to != NULL) {
        s->to[s->size] = value;
    }
    s->size++;
}

static void
put_u16(sink *s, uint16_t value)
{
    put_u8(s, (uint8_t) (value >> 8));
    put_u8(s, (uint8_t) value);
}

static void
put_raw(sink *s, nmq_bytes raw)
{
    if (s->to != NULL) {
        (void) nmq_wire_put_raw(s->to + s->size, raw);
    }
    s->size += raw.len;
}

static void
put_text(sink *s, nmq_bytes text)
{
    s->too_big = s->too_big || text.len > NMQ_TOPIC_MAX_BYTES;
    put_u16(s, (uint16_t) text.len);
    put_raw(s, text);
}

static void
put_props(sink *s, const nmq_props *props)
{
    size_t size = nmq_props_size(props);

    s->too_big = s->too_big || size > NMQ_VARINT_MAX;
    if (s->to != NULL) {
        (void) nmq_props_write(s->to + s->size, props);
    }
    s->size += nmq_varint_size((uint32_t) size) + size;
}

static void
put_connect(sink *s, const nmq_packet *packet)
{
    const nmq_connect *c = &packet->connect;
    unsigned flags = (c->clean_start ? 0x02u : 0) | (c->has_password ? 0x40u : 0) |
                     (c->has_user_name ? 0x80u : 0);

    if (c->has_will) {
        flags |= 0x04u | (unsigned) c->will_qos << 3 | (c->will_retain ? 0x20u : 0);
    }
    put_text(s, nmq_bytes_of(c->version == NMQ_V31 ? "MQIsdp" : "MQTT"));
    put_u8(s, (uint8_t) (c->version | (c->bridge ? NMQ_BRIDGE_BIT : 0)));
    put_u8(s, (uint8_t) flags);
    put_u16(s, c->keep_alive_s);
    if (c->version == NMQ_V5) {
        put_props(s, &packet->props);
    }
    put_text(s, c->client_id);
    if (c->has_will) {
        if (c->version == NMQ_V5) {
            put_props(s, &c->will_props);
        }
        put_text(s, c->will_topic);
        put_text(s, c->will_payload);
    }
    if (c->has_user_name) {
        put_text(s, c->user_name);
    }
    if (c->has_password) {
        put_text(s, c->password);
    }
}

static void
put_publish(sink *s, uint8_t version, const nmq_packet *packet)
{
    put_text(s, packet->publish.topic_name);
    if (packet->publish.qos > 0) {
        put_u16(s, packet->packet_id);
    }
    if (version == NMQ_V5) {
        put_props(s, &packet->props);
    }
    put_raw(s, packet->publish.payload);
}

// Reason code and properties, both left out where the specification allows it.
static void
put_reason(sink *s, uint8_t version, const nmq_packet *packet)
{
    bool props = nmq_props_size(&packet->props) > 0;

    if (version != NMQ_V5) {
        return;
    }
    if (packet->reason_code != 0 || props || packet->type == NMQ_AUTH) {
        put_u8(s, packet->reason_code);
    }
    if (props) {
        put_props(s, &packet->props);
    }
}

static void
put_body(sink *s, uint8_t version, const nmq_packet *packet)
{
    switch (packet->type) {
    case NMQ_CONNECT: put_connect(s, packet); break;
    case NMQ_CONNACK:
        put_u8(s, packet->session_present ? 1 : 0);
        put_u8(s, version == NMQ_V5 ? packet->reason_code
                                    : nmq_reason_connack_v3(packet->reason_code));
        if (version == NMQ_V5) {
            put_props(s, &packet->props);
        }
        break;
    case NMQ_PUBLISH: put_publish(s, version, packet); break;
    case NMQ_PUBACK:
    case NMQ_PUBREC:
    case NMQ_PUBREL:
    case NMQ_PUBCOMP:
        put_u16(s, packet->packet_id);
        put_reason(s, version, packet);
        break;
    case NMQ_SUBSCRIBE:
    case NMQ_SUBACK:
    case NMQ_UNSUBSCRIBE:
    case NMQ_UNSUBACK:
        put_u16(s, packet->packet_id);
        if (version == NMQ_V5) {
            put_props(s, &packet->props);
        }
        // UNSUBACK has no codes before 5.0 (3.1.1, 3.11).
        if (packet->type != NMQ_UNSUBACK || version == NMQ_V5) {
            put_raw(s, packet->list);
        }
        break;
    case NMQ_DISCONNECT:
    case NMQ_AUTH: put_reason(s, version, packet); break;
    default: break; // PINGREQ and PINGRESP have no body
    }
}

static uint8_t
fixed_flags(const nmq_packet *packet)
{
    const nmq_publish *p = &packet->publish;

    switch (packet->type) {
    case NMQ_PUBLISH:
        return (uint8_t) ((p->dup ? 8 : 0) | p->qos << 1 | (p->retain ? 1 : 0));
    case NMQ_PUBREL:
    case NMQ_SUBSCRIBE:
    case NMQ_UNSUBSCRIBE: return 2;
    default: return 0;
    }
}

int
nmq_encode(nmq_buf *out, uint8_t version, const nmq_packet *packet)
{
    sink count = {0};

    put_body(&count, version, packet);
    if (count.too_big || count.size > NMQ_VARINT_MAX) {
        return NMQ_ETOOBIG;
    }
    uint8_t *to = nmq_buf_reserve(out, 5 + count.size);
    if (to == NULL) {
        return NMQ_ENOMEM;
    }
    uint8_t *start = to;
    *to++ = (uint8_t) (packet->type << 4 | fixed_flags(packet));
    to = nmq_varint_write(to, (uint32_t) count.size);
    sink body = {.to = to};
    put_body(&body, version, packet);
    out->len += (size_t) (to - start) + body.size;
    return NMQ_OK;
}
