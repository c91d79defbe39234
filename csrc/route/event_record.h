// event_record.h - one record on the event ring. cffi reads this file: no macros here.
//
// Owner    a record owns its text and holds a reference to its message; nmq_event_fini
//          (event.h) gives them back.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_message nmq_message; // store/message.h

typedef struct {
    uint32_t kind; // enum nmq_event_kind: csrc/events.def says what the fields are
    int32_t code;
    uint64_t number;
    uint32_t text_len;
    char *text;           // not NUL-safe: text_len counts
    nmq_message *message; // NULL unless kind says so
} nmq_event;

typedef struct {
    const char *topic_name; // borrowed from the event
    size_t topic_len;
    const char *payload;
    size_t payload_len;
    uint8_t qos;
    bool retain; // as published
} nmq_message_view;

// Reads the message of an event of kind NMQ_EVENT_MESSAGE.
void nmq_event_message(const nmq_event *event, nmq_message_view *out);
