#include "serve/inbound.h"

#include "base/status.h"
#include "mqtt/reason.h"
#include "serve/bounds.h"

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
