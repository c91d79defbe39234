#include "store/meter.h"

#include <string.h>

#include "base/mem.h"

enum { COUNTS = sizeof(nmq_meter_counts) / sizeof(uint64_t) };

struct nmq_meter {
    uint32_t refs; // atomic
    uint32_t topic_len;
    nmq_meter_counts counts; // atomic, each
    char topic[];
};

nmq_meter *
nmq_meter_new(const char *topic_name, size_t topic_len)
{
    nmq_meter *meter = nmq_zalloc(sizeof *meter + topic_len);

    if (meter != NULL) {
        meter->refs = 1;
        meter->topic_len = (uint32_t) topic_len;
        memcpy(meter->topic, topic_name, topic_len);
    }
    return meter;
}

nmq_meter *
nmq_meter_ref(nmq_meter *meter)
{
    (void) __atomic_add_fetch(&meter->refs, 1, __ATOMIC_RELAXED);
    return meter;
}

void
nmq_meter_unref(nmq_meter *meter)
{
    if (meter != NULL && __atomic_sub_fetch(&meter->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        nmq_free(meter);
    }
}

const char *
nmq_meter_topic(const nmq_meter *meter, size_t *len)
{
    *len = meter->topic_len;
    return meter->topic;
}

static void
add(uint64_t *count, uint64_t more)
{
    (void) __atomic_add_fetch(count, more, __ATOMIC_RELAXED);
}

void
nmq_meter_count_in(nmq_meter *meter, uint8_t qos)
{
    add(&meter->counts.in_by_qos[qos], 1);
}

void
nmq_meter_count_out(nmq_meter *meter, uint8_t qos)
{
    add(&meter->counts.out_by_qos[qos], 1);
}

void
nmq_meter_count_dropped(nmq_meter *meter, uint64_t count)
{
    add(&meter->counts.dropped, count);
}

void
nmq_meter_read(const nmq_meter *meter, nmq_meter_counts *out)
{
    const uint64_t *from = (const uint64_t *) &meter->counts;
    uint64_t *to = (uint64_t *) out;

    for (size_t i = 0; i < COUNTS; i++) {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}

void
nmq_meter_reset(nmq_meter *meter)
{
    uint64_t *at = (uint64_t *) &meter->counts;

    for (size_t i = 0; i < COUNTS; i++) {
        __atomic_store_n(&at[i], 0, __ATOMIC_RELAXED);
    }
}
