// kept_row.h - an answer about a topic that a client publishes to, as it is kept. cffi
// reads this file: no macros here.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    NMQ_KEPT_ROWS = 32, // of one client
    NMQ_KEPT_TOPIC_BYTES = 256,
};

typedef struct {
    char topic[256]; // Topic Name, as the client knows it
    size_t topic_len;
    uint8_t said;     // enum nmq_access
    int64_t at_ms;    // wall clock: when it was answered
    uint32_t left_ms; // for so long it counts
} nmq_kept_row;
