// meter.h - what is counted of one topic. cffi reads this file: no macros here.
//
//     publish a/b ──in──> meter a/b <──out, dropped── its receivers
//
// Owner    counted: the router holds a reference, and so does who reads.
// Threads  thread-safe: each count for itself.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_meter nmq_meter;

typedef struct {
    uint64_t in_by_qos[3];  // messages that were published
    uint64_t out_by_qos[3]; // that sessions of clients took, for now or for later
    uint64_t dropped;       // that nobody wanted, or a session did not take
} nmq_meter_counts;

// Copies the topic. Returns a meter with one reference, or NULL when memory is out.
nmq_meter *nmq_meter_new(const char *topic_name, size_t topic_len);
nmq_meter *nmq_meter_ref(nmq_meter *meter);
void nmq_meter_unref(nmq_meter *meter); // takes NULL

// Borrowed from the meter.
const char *nmq_meter_topic(const nmq_meter *meter, size_t *len);

// qos: 0 to 2.
void nmq_meter_count_in(nmq_meter *meter, uint8_t qos);
void nmq_meter_count_out(nmq_meter *meter, uint8_t qos);
void nmq_meter_count_dropped(nmq_meter *meter, uint64_t count);

void nmq_meter_read(const nmq_meter *meter, nmq_meter_counts *out);
void nmq_meter_reset(nmq_meter *meter); // all counts begin at 0
