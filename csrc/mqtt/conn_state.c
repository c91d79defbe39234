#include "mqtt/conn_state.h"

#include "mqtt/packet.h"
#include "mqtt/reason.h"

#define BIT(type) (1u << NMQ_##type)

// Bit n: the packet type may come. CONNACK, SUBACK, UNSUBACK and PINGRESP are the server's.
static const uint32_t allowed[NMQ_CONN_STATES] = {
    [NMQ_CONN_NEW] = BIT(CONNECT),                           // [MQTT-3.1.0-1]
    [NMQ_CONN_AUTHENTICATING] = BIT(AUTH) | BIT(DISCONNECT), // [MQTT-3.1.2-30]
    [NMQ_CONN_OPEN] = BIT(PUBLISH) | BIT(PUBACK) | BIT(PUBREC) | BIT(PUBREL) |
                      BIT(PUBCOMP) | BIT(SUBSCRIBE) | BIT(UNSUBSCRIBE) | BIT(PINGREQ) |
                      BIT(DISCONNECT) |
                      BIT(AUTH), // a second CONNECT is refused [MQTT-3.1.0-2]
};

uint8_t
nmq_conn_state_check(enum nmq_conn_state state, uint8_t packet_type)
{
    return (allowed[state] >> packet_type & 1) != 0 ? NMQ_RC_SUCCESS
                                                    : NMQ_RC_PROTOCOL_ERROR;
}
