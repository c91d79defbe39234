#include "mqtt/conn_state.h"

#include "mqtt/packet.h"

#define BIT(type)   (1u << NMQ_##type)
#define STATE(name) (UINT32_C(1) << NMQ_CONN_##name)

enum {
    // CONNACK, SUBACK, UNSUBACK and PINGRESP are the server's; a second CONNECT is refused
    // [MQTT-3.1.0-2].
    OPEN_TYPES = BIT(PUBLISH) | BIT(PUBACK) | BIT(PUBREC) | BIT(PUBREL) | BIT(PUBCOMP) |
    BIT(SUBSCRIBE) | BIT(UNSUBSCRIBE) | BIT(PINGREQ) | BIT(DISCONNECT) | BIT(AUTH)
};

static const uint16_t types[NMQ_CONN_STATES] = {
    [NMQ_CONN_NEW] = BIT(CONNECT),                           // [MQTT-3.1.0-1]
    [NMQ_CONN_AUTHENTICATING] = BIT(AUTH) | BIT(DISCONNECT), // [MQTT-3.1.2-30]
    [NMQ_CONN_OPEN] = OPEN_TYPES,
    [NMQ_CONN_OPEN_AUTHENTICATING] = OPEN_TYPES,
};

static const uint32_t next[NMQ_CONN_STATES] = {
    [NMQ_CONN_NEW] = STATE(DECIDING) | STATE(OPEN) | STATE(CLOSING),
    [NMQ_CONN_DECIDING] = STATE(AUTHENTICATING) | STATE(OPEN) | STATE(CLOSING),
    [NMQ_CONN_AUTHENTICATING] = STATE(DECIDING) | STATE(CLOSING),
    [NMQ_CONN_OPEN] = STATE(OPEN_DECIDING) | STATE(CLOSING),
    [NMQ_CONN_OPEN_DECIDING] = STATE(OPEN) | STATE(OPEN_AUTHENTICATING) | STATE(CLOSING),
    [NMQ_CONN_OPEN_AUTHENTICATING] = STATE(OPEN_DECIDING) | STATE(CLOSING),
};

uint16_t
nmq_conn_state_types(enum nmq_conn_state state)
{
    return types[state];
}

uint32_t
nmq_conn_state_next(enum nmq_conn_state state)
{
    return next[state];
}

bool
nmq_conn_state_is_open(enum nmq_conn_state state)
{
    return state >= NMQ_CONN_OPEN && state < NMQ_CONN_CLOSING;
}
