// settings.h - the options of a bridge, checked and copied: one object that does not
// change.
//
// Owner    counted: the bridge, its session and its connection hold references.
// Threads  ref and unref are thread-safe; everything else is fixed at birth.
#pragma once
#include "bridge/options.h"
#include "mqtt/topic.h"

// A forward (from here, to there) or a subscription (from there, to here).
typedef struct {
    nmq_filter filter;
    nmq_bytes from; // taken off the front of the topic
    nmq_bytes to;   // put there
    bool fixed;
    uint8_t qos;
    uint8_t retain;      // enum nmq_bridge_retain
    uint32_t identifier; // made of all that it says of topics: the same in each process
} nmq_bridge_rule;

typedef struct {
    uint32_t refs;
    nmq_bridge_options options; // its texts are copies; its rules are those below
    nmq_bridge_rule *forwards;
    nmq_bridge_rule *subscriptions;
} nmq_bridge_settings;

// Returns NMQ_OK, with one reference; NMQ_EINVAL for an option out of its range,
// NMQ_EFILTER or NMQ_ETOPIC, or NMQ_ENOMEM.
int nmq_bridge_settings_new(const nmq_bridge_options *options, nmq_bridge_settings **out);
nmq_bridge_settings *nmq_bridge_settings_ref(nmq_bridge_settings *settings);
void nmq_bridge_settings_unref(nmq_bridge_settings *settings); // takes NULL

// The subscription that a topic of the other broker belongs to: the first that matches;
// NULL: none.
const nmq_bridge_rule *nmq_bridge_settings_from(const nmq_bridge_settings *settings,
                                                nmq_bytes topic_name);

// The forward of a delivery: the first whose identifier it has; else, where forwards have
// changed since, the first that matches; NULL: none.
const nmq_bridge_rule *nmq_bridge_settings_to(const nmq_bridge_settings *settings,
                                              nmq_bytes topic_name, const uint32_t *ids,
                                              size_t id_count);

// Sets *out to the topic at the other end, which is the topic itself or in *scratch.
// Returns NMQ_OK, NMQ_ETOPIC where that is none, or NMQ_ENOMEM.
int nmq_bridge_rule_map(const nmq_bridge_rule *rule, nmq_bytes topic_name, nmq_buf *scratch,
                        nmq_bytes *out);

// RETAIN at the other end.
bool nmq_bridge_rule_retain(const nmq_bridge_rule *rule, bool retain);

static inline nmq_bytes
nmq_bridge_slice(const char *at, size_t len)
{
    return (nmq_bytes) {(const uint8_t *) at, len};
}
