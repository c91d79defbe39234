// inbound.h - a message from a client, in a PUBLISH or as its will.
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// Returns what is wrong with the QoS or the RETAIN flag of a message or a will, or with its
// topic; code 0: nothing.
nmq_fault nmq_inbound_check(const nmq_server_conn *conn, nmq_bytes topic_name, uint8_t qos,
                            bool retain);

// The properties that travel with a message: all but those that belong to one hop. They are
// borrowed where the block can be used as it is, else copied to *scratch, which the caller
// frees. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_inbound_forwarded(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out);

// When a message with these properties expires; 0: never.
int64_t nmq_inbound_expires_at(const nmq_props *props, int64_t now_ms);
