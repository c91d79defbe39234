// outward.h - what becomes of a message that a session sends to another broker: its topic
// there, RETAIN, properties, and whether it is too old.
//
//     session ──write──> map ──> PUBLISH as the other broker is to have it
//
// Owner    the session, which frees it.
// Threads  the client's lock.
#pragma once
#include "mqtt/encode.h"
#include "store/message.h"

typedef struct nmq_outward {
    // Sets the Topic Name, which is borrowed until the next call as the properties are, and
    // in the head RETAIN, the properties and the Subscription Identifiers, where those of
    // the message and the delivery are. Returns NMQ_OK;
    // NMQ_ETOOBIG for a message that cannot go there; NMQ_ETIMEOUT for one that is too old,
    // if DUP is not set; NMQ_ENOMEM.
    int (*map)(struct nmq_outward *outward, nmq_publish_head *head,
               const nmq_message_parts *parts, nmq_bytes *topic_name);
    void (*free)(struct nmq_outward *outward);
} nmq_outward;
