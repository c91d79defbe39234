// container.h - from a member to the struct that holds it.
//
//     nmq_conn *conn = NMQ_CONTAINER(timer, nmq_conn, timer);
#pragma once
#include <stddef.h>
#include <stdint.h>

#define NMQ_CONTAINER(member_at, type, member)                                             \
    ((type *) (void *) ((uint8_t *) (member_at) - offsetof(type, member)))
