// packet_type.h - the Control Packet types (MQTT 5.0, 2.1.2), as on the wire.
#pragma once

enum nmq_packet_type {
    NMQ_WILL = 0, // no packet: the place of the Will Properties in the property table
    NMQ_CONNECT = 1,
    NMQ_CONNACK = 2,
    NMQ_PUBLISH = 3,
    NMQ_PUBACK = 4,
    NMQ_PUBREC = 5,
    NMQ_PUBREL = 6,
    NMQ_PUBCOMP = 7,
    NMQ_SUBSCRIBE = 8,
    NMQ_SUBACK = 9,
    NMQ_UNSUBSCRIBE = 10,
    NMQ_UNSUBACK = 11,
    NMQ_PINGREQ = 12,
    NMQ_PINGRESP = 13,
    NMQ_DISCONNECT = 14,
    NMQ_AUTH = 15,
};
