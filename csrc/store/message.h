// message.h - one Application Message: immutable, counted, the only object that sessions
// share.
//
//     [struct][topic name][properties in wire form][payload][number, if there is a journal]
//
// Owner    whoever holds a reference; nmq_message_unref frees with the last.
// Threads  ref and unref are thread-safe; everything else is fixed at birth.
#pragma once
#include "base/bytes.h"
#include "store/origin.h"

typedef struct nmq_message {
    uint32_t refs;
    uint32_t payload_len;
    uint32_t props_len;
    uint16_t topic_len;
    uint8_t qos;           // as published
    bool retain;           // as published
    int64_t expires_at_ms; // 0: never
    int64_t published_ms;  // see nmq_message_parts
    nmq_origin *origin;    // see nmq_message_parts; a reference
    uint32_t judged;       // atomic: what access rules said last; route/rights.c
    uint32_t size;         // of the allocation
    uint8_t bytes[];
} nmq_message;

// What a message is made from. props are the properties to forward, without Topic Alias,
// Subscription Identifier and Message Expiry Interval.
typedef struct {
    nmq_bytes topic_name;
    nmq_bytes props;
    nmq_bytes payload;
    int64_t expires_at_ms;
    int64_t published_ms; // wall clock; 0: nobody asked, and it is not retained
    nmq_origin *origin;   // who published it; NULL: the broker, or as for the time
    uint8_t qos;
    bool retain;
} nmq_message_parts;

// Copies the parts, and takes a reference to the origin. Returns a message with one
// reference, or NULL when memory is out.
nmq_message *nmq_message_new(const nmq_message_parts *parts);

nmq_message *nmq_message_ref(nmq_message *message);
void nmq_message_unref(nmq_message *message); // takes NULL

// From now on messages have room for a number that is another's to give: 0 at first.
// nmq_message_number and its setter are for such messages alone.
void nmq_message_have_numbers(void);
uint64_t nmq_message_number(const nmq_message *message);
void nmq_message_set_number(nmq_message *message, uint64_t number);

// Bytes that it takes.
size_t nmq_message_size(const nmq_message *message);

// Messages that live in this process, and their bytes. A moment's value while others come
// and go.
void nmq_message_totals(uint64_t *count, uint64_t *bytes);

// Borrowed from the message.
nmq_bytes nmq_message_topic(const nmq_message *message);
nmq_bytes nmq_message_props(const nmq_message *message);
nmq_bytes nmq_message_payload(const nmq_message *message);
nmq_message_parts nmq_message_parts_of(const nmq_message *message); // all of it

// Whether the Message Expiry Interval has passed [MQTT-3.3.2-5].
bool nmq_message_is_expired(const nmq_message *message, int64_t now_ms);
