// sys_topic.h - which topics are the broker's own (MQTT 5.0, 4.7.2).
#pragma once
#include "base/bytes.h"

// Whether the topic or filter is "$SYS" or lies below it: the broker's own.
static inline bool
nmq_topic_is_sys(nmq_bytes topic)
{
    const uint8_t *t = topic.at;

    return topic.len >= 4 && t[0] == '$' && t[1] == 'S' && t[2] == 'Y' && t[3] == 'S' &&
           (topic.len == 4 || t[4] == '/');
}
