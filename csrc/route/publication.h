// publication.h - one Application Message of the program that the broker runs in. cffi
// reads this file: no macros here.
//
// Owner    everything is borrowed for the call.
// Source   MQTT 5.0, 3.3 PUBLISH.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *topic_name;
    size_t topic_len;
    const char *payload;
    size_t payload_len;
    const char *props; // that travel with it, as in a packet: their length in front
    size_t props_len;  // 0: none
    uint32_t expiry_interval_s; // Message Expiry Interval
    bool expires;               // it has one
    uint8_t qos;
    bool retain;
    const char *client_id; // who publishes it; NULL: the program itself
    size_t client_id_len;
    bool exempt; // no access rule counts for it, when it is kept as a retained one
} nmq_publication;
