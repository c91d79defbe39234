#include "mqtt/packet_kind.h"

#include "mqtt/packet_type.h"

// The flags without the lowest: of PUBLISH, DUP and QoS; those of the others are fixed
// [MQTT-2.1.3-1].
#define ROW(type, flags, kind) [NMQ_##type << 3 | (flags)] = NMQ_KIND_##kind

const uint8_t nmq_packet_kinds[128] = {
    ROW(PUBLISH, 0, QOS0),
    ROW(PUBLISH, 1, QOS1),
    ROW(PUBLISH, 2, QOS2),
    ROW(PUBLISH, 4, QOS0),
    ROW(PUBLISH, 5, QOS1),
    ROW(PUBLISH, 6, QOS2),
    ROW(CONNECT, 0, CONNECT),
    ROW(CONNACK, 0, CONNACK),
    ROW(PUBACK, 0, PUBACK),
    ROW(PUBREC, 0, PUBREC),
    ROW(PUBREL, 1, PUBREL),
    ROW(PUBCOMP, 0, PUBCOMP),
    ROW(SUBSCRIBE, 1, SUBSCRIBE),
    ROW(SUBACK, 0, SUBACK),
    ROW(UNSUBSCRIBE, 1, UNSUBSCRIBE),
    ROW(UNSUBACK, 0, UNSUBACK),
    ROW(PINGREQ, 0, PINGREQ),
    ROW(PINGRESP, 0, PINGRESP),
    ROW(DISCONNECT, 0, DISCONNECT),
    ROW(AUTH, 0, AUTH),
};
