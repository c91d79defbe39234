// who.h - who a client is, and where it came in.
//
// Owner    slices and the peer are borrowed.
#pragma once
#include "base/bytes.h"
#include "base/peer.h"

typedef struct {
    nmq_bytes client_id;
    nmq_bytes user_name; // at NULL: none
    const nmq_peer *peer;
    uint32_t listener_key; // see nmq_listener_options; 0: not known
} nmq_who;
