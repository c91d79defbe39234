#include "route/publish_own.h"

#include "base/clock.h"
#include "base/status.h"
#include "mqtt/packet_type.h"
#include "mqtt/props.h"
#include "mqtt/topic.h"
#include "mqtt/varint.h"
#include "route/fanout.h"

static nmq_bytes
slice(const char *at, size_t len)
{
    return (nmq_bytes){(const uint8_t *) at, len};
}

// Takes the length off the front of properties of a PUBLISH that is routed: the expiry is a
// field of its own, aliases and identifiers belong to one connection.
static bool
read_props(nmq_bytes in, nmq_bytes *out)
{
    const uint64_t hop = UINT64_C(1) << NMQ_PROP_TOPIC_ALIAS |
                         UINT64_C(1) << NMQ_PROP_MESSAGE_EXPIRY_INTERVAL |
                         UINT64_C(1) << NMQ_PROP_SUBSCRIPTION_IDENTIFIER;
    nmq_wire wire = {.rest = in};
    nmq_props props;

    if (in.len == 0) {
        return true;
    }
    if (nmq_props_read(&wire, NMQ_PUBLISH, &props) != 0 || wire.rest.len > 0 ||
        (props.present & hop) != 0 || !nmq_props_response_topic_fits(&props)) {
        return false;
    }
    *out = props.raw;
    return true;
}

static int
check(const nmq_message_parts *parts)
{
    if (!nmq_utf8_check(parts->topic_name) || !nmq_topic_check(parts->topic_name)) {
        return NMQ_ETOPIC;
    }
    if (parts->qos > 2) {
        return NMQ_EINVAL;
    }
    if (parts->props.len > NMQ_VARINT_MAX ||
        parts->payload.len >
            NMQ_VARINT_MAX - 2 - parts->topic_name.len - parts->props.len) {
        return NMQ_ETOOBIG;
    }
    return NMQ_OK;
}

int
nmq_publish_own(nmq_router *router, const nmq_publication *p)
{
    nmq_message_parts parts = {
        .topic_name = slice(p->topic_name, p->topic_len),
        .payload = slice(p->payload, p->payload_len),
        .published_ms = nmq_clock_wall_ms(),
        .qos = p->qos,
        .retain = p->retain,
    };

    if (!read_props(slice(p->props, p->props_len), &parts.props)) {
        return NMQ_EMALFORMED;
    }
    int rv = check(&parts);
    if (rv != NMQ_OK) {
        return rv;
    }
    if (p->expires) {
        parts.expires_at_ms = nmq_clock_now_ms() + (int64_t) p->expiry_interval_s * 1000;
    }
    nmq_message *message = nmq_message_new(&parts);
    if (message == NULL) {
        return NMQ_ENOMEM;
    }
    unsigned taken = nmq_fanout_publish_message(router, NULL, message);
    nmq_message_unref(message);
    return (int) taken;
}
