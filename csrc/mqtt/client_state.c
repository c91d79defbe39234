#include "mqtt/client_state.h"

#include "mqtt/packet.h"

#define BIT(type)   (1u << NMQ_##type)
#define STATE(name) (UINT32_C(1) << NMQ_CLIENT_##name)

enum {
    V5_TYPES = BIT(DISCONNECT) | BIT(AUTH), // before 5.0 they are not a server's
    // CONNECT, SUBSCRIBE, UNSUBSCRIBE and PINGREQ are the client's; CONNACK comes once
    // [MQTT-3.2.0-2].
    IN_TYPES = BIT(PUBLISH) | BIT(PUBACK) | BIT(PUBREC) | BIT(PUBREL) | BIT(PUBCOMP) |
        BIT(SUBACK) | BIT(UNSUBACK) | BIT(PINGRESP) | V5_TYPES
};

static const uint16_t types[NMQ_CLIENT_STATES] = {
    [NMQ_CLIENT_ASKED] = BIT(CONNACK) | BIT(AUTH), // [MQTT-3.2.0-1] [MQTT-3.14.0-1]
    [NMQ_CLIENT_IN] = IN_TYPES,
};

static const uint32_t next[NMQ_CLIENT_STATES] = {
    [NMQ_CLIENT_NEW] = STATE(ASKED) | STATE(CLOSING),
    [NMQ_CLIENT_ASKED] = STATE(IN) | STATE(CLOSING),
    [NMQ_CLIENT_IN] = STATE(CLOSING),
};

uint16_t
nmq_client_state_types(enum nmq_client_state state, uint8_t version)
{
    unsigned all = types[state];

    return (uint16_t) (version == NMQ_V5 ? all : all & ~(unsigned) V5_TYPES);
}

uint32_t
nmq_client_state_next(enum nmq_client_state state)
{
    return next[state];
}
