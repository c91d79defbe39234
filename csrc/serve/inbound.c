#include "serve/inbound.h"

#include "base/status.h"
#include "mqtt/reason.h"
#include "serve/bounds.h"

// They travel as they came, in their order [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16]
// [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20].
int
nmq_inbound_forwarded(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out)
{
    const uint64_t hop = UINT64_C(1) << NMQ_PROP_TOPIC_ALIAS |
                         UINT64_C(1) << NMQ_PROP_MESSAGE_EXPIRY_INTERVAL |
                         UINT64_C(1) << NMQ_PROP_WILL_DELAY_INTERVAL;
    nmq_bytes block = props->raw;
    nmq_prop prop;

    *out = props->raw;
    if ((props->present & hop) == 0) {
        return NMQ_OK;
    }
    while (nmq_props_next(&block, &prop)) {
        if ((hop >> prop.id & 1) == 0 && nmq_buf_put(scratch, prop.wire) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    *out = (nmq_bytes){scratch->at, scratch->len};
    return NMQ_OK;
}

int64_t
nmq_inbound_expires_at(const nmq_props *props, int64_t now_ms)
{
    return nmq_props_has(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL)
               ? now_ms + (int64_t) props->number[NMQ_PROP_MESSAGE_EXPIRY_INTERVAL] * 1000
               : 0;
}

nmq_fault
nmq_inbound_check(const nmq_server_conn *conn, nmq_bytes topic_name, uint8_t qos,
                  bool retain)
{
    const nmq_negotiated *negotiated = &conn->negotiated;

    if (qos > negotiated->qos_max) { // [MQTT-3.2.2-11] [MQTT-3.2.2-12]
        return (nmq_fault){NMQ_RC_QOS_NOT_SUPPORTED, "QoS over the Maximum QoS"};
    }
    if (retain && !negotiated->retain_available) { // [MQTT-3.2.2-13] [MQTT-3.2.2-14]
        return (nmq_fault){NMQ_RC_RETAIN_NOT_SUPPORTED,
                           "retained messages are switched off"};
    }
    if (!nmq_bounds_levels_fit(conn, topic_name)) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_TOPICS_TOO_DEEP, 1);
        return (nmq_fault){NMQ_RC_TOPIC_NAME_INVALID, "the topic has too many levels"};
    }
    return (nmq_fault){0};
}
