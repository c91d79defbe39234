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

static int
publish(nmq_router *router, const nmq_client *from, const nmq_message_parts *parts)
{
    nmq_message *message = nmq_message_new(parts);

    if (message == NULL) {
        return NMQ_ENOMEM;
    }
    int taken = nmq_fanout_publish_message(router, from, message);
    nmq_message_unref(message);
    return taken;
}

// Returns who publishes it, or NULL when memory is out.
static nmq_origin *
make_origin(const nmq_publication *p, nmq_client *from)
{
    const nmq_bytes client_id = slice(p->client_id, p->client_id_len);
    nmq_bytes topic = slice(p->topic_name, p->topic_len);
    nmq_origin *origin;

    if (from == NULL) {
        const nmq_peer nowhere = {0};
        origin = nmq_origin_new(client_id, (nmq_bytes){0}, &nowhere, 0, 0);
    } else {
        (void) pthread_mutex_lock(&from->lock);
        const nmq_bytes mount = from->session->mount;
        size_t mount_len = nmq_topic_unmount(mount, &topic) ? mount.len : 0;
        origin = nmq_origin_new(client_id, from->user_name, &from->peer, mount_len,
                                from->listener_key);
        (void) pthread_mutex_unlock(&from->lock);
    }
    if (origin != NULL) {
        origin->superuser = p->exempt;
    }
    return origin;
}

// Routes what a client publishes.
static int
publish_as(nmq_sessions *sessions, const nmq_publication *p, nmq_message_parts *parts)
{
    int taken = NMQ_ENOMEM;
    nmq_client *from =
        nmq_registry_find(&sessions->registry, slice(p->client_id, p->client_id_len));

    parts->origin = make_origin(p, from);
    if (parts->origin != NULL) {
        taken = publish(sessions->router, from, parts);
    }
    nmq_origin_unref(parts->origin);
    nmq_client_unref(from);
    return taken;
}

int
nmq_publish_own(nmq_sessions *sessions, const nmq_publication *p)
{
    nmq_router *router = sessions->router;
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
    return p->client_id != NULL ? publish_as(sessions, p, &parts)
                                : publish(router, NULL, &parts);
}
