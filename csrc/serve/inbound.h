// inbound.h - a message from a client, in a PUBLISH or as its will.
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// Returns what is wrong with the QoS or the RETAIN flag of a message or a will, or with its
// topic; code 0: nothing.
nmq_fault nmq_inbound_check(const nmq_server_conn *conn, nmq_bytes topic_name, uint8_t qos,
                            bool retain);
