#include "route/meters.h"

#include "base/status.h"
#include "mqtt/topic.h"

static nmq_bytes
topic_of(const nmq_meter *meter)
{
    size_t len;
    const char *at = nmq_meter_topic(meter, &len);

    return (nmq_bytes){(const uint8_t *) at, len};
}

// Has the tree look for them, or not. Call with all lanes.
static void
use(nmq_router *router)
{
    nmq_tree_use_meters(router->tree, router->meters.count > 0 ? &router->meters : NULL);
}

// Call with all lanes.
static int
add(nmq_router *router, nmq_meter *meter)
{
    if (nmq_map_get(&router->meters, topic_of(meter)) != NULL) {
        return NMQ_EINVAL;
    }
    if (router->meters.count >= NMQ_METERS_MAX) {
        return NMQ_ETOOBIG;
    }
    int rv = nmq_map_put(&router->meters, topic_of(meter), meter);
    if (rv == NMQ_OK) {
        use(router);
    }
    return rv;
}

int
nmq_meters_open(nmq_router *router, nmq_bytes topic_name, nmq_meter **out)
{
    if (!nmq_utf8_check(topic_name) || !nmq_topic_check(topic_name)) {
        return NMQ_ETOPIC;
    }
    nmq_meter *meter = nmq_meter_new((const char *) topic_name.at, topic_name.len);
    if (meter == NULL) {
        return NMQ_ENOMEM;
    }
    nmq_lanes_lock_all(router->lanes);
    int rv = add(router, meter);
    nmq_lanes_unlock_all(router->lanes);
    if (rv != NMQ_OK) {
        nmq_meter_unref(meter);
        return rv;
    }
    *out = nmq_meter_ref(meter);
    return NMQ_OK;
}

int
nmq_meters_close(nmq_router *router, nmq_bytes topic_name)
{
    nmq_lanes_lock_all(router->lanes);
    nmq_meter *meter = nmq_map_del(&router->meters, topic_name);
    if (meter != NULL) {
        use(router);
    }
    nmq_lanes_unlock_all(router->lanes);
    nmq_meter_unref(meter);
    return meter != NULL ? NMQ_OK : NMQ_ENOENT;
}

void
nmq_meters_fini(nmq_router *router)
{
    for (size_t i = 0; i < router->meters.cap; i++) {
        nmq_meter_unref(router->meters.slots[i].value);
    }
    nmq_map_free(&router->meters);
}
