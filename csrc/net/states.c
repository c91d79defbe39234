#include "net/states.h"

#define INTAKE(name) (UINT32_C(1) << NMQ_INTAKE_##name)
#define RECV(name)   (UINT32_C(1) << NMQ_RECV_##name)
#define SEND(name)   (UINT32_C(1) << NMQ_SEND_##name)

static const uint32_t intake_next[NMQ_INTAKE_STATES] = {
    [NMQ_INTAKE_PROXY] = INTAKE(UPGRADE) | INTAKE(PLAIN) | INTAKE(SHUT),
    [NMQ_INTAKE_UPGRADE] = INTAKE(FRAMES) | INTAKE(SHUT),
    [NMQ_INTAKE_FRAMES] = INTAKE(SHUT),
};

static const uint32_t recv_next[NMQ_RECV_STATES] = {
    [NMQ_RECV_HANDLING] =
        RECV(READING) | RECV(YIELDS) | RECV(PARKED) | RECV(LINGERING) | RECV(OVER),
    [NMQ_RECV_READING] = RECV(HANDLING),
    [NMQ_RECV_YIELDS] = RECV(HANDLING),
    [NMQ_RECV_PARKED] = RECV(YIELDS),
    [NMQ_RECV_LINGERING] = RECV(OVER),
};

static const uint32_t send_next[NMQ_SEND_STATES] = {
    [NMQ_SEND_IDLE] = SEND(SENDING) | SEND(CLOSING),
    [NMQ_SEND_SENDING] = SEND(IDLE) | SEND(FAILED) | SEND(ENDING),
    [NMQ_SEND_FAILED] = SEND(CLOSING),
    [NMQ_SEND_CLOSING] = SEND(ENDING) | SEND(CLOSED),
    [NMQ_SEND_ENDING] = SEND(FINISHED) | SEND(CLOSED),
    [NMQ_SEND_FINISHED] = SEND(CLOSED),
};

uint32_t
nmq_intake_next(enum nmq_intake_state state)
{
    return intake_next[state];
}

uint32_t
nmq_recv_next(enum nmq_recv_state state)
{
    return recv_next[state];
}

uint32_t
nmq_send_next(enum nmq_send_state state)
{
    return send_next[state];
}

bool
nmq_send_is_closing(enum nmq_send_state state)
{
    return state >= NMQ_SEND_CLOSING;
}
