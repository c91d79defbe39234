// topic.h - what is a valid Topic Name and Topic Filter (MQTT 5.0, 4.7 and 4.8).
#pragma once
#include "base/bytes.h"

enum {
    NMQ_TOPIC_MAX_BYTES = 65535,
    NMQ_SHARE_BYTES = 7, // of "$share/"
};

// A filter as subscribed, taken apart: "$share/g/a/#" is group "g", filter "a/#".
// group.at is NULL for a subscription that is not shared.
typedef struct {
    nmq_bytes filter;
    nmq_bytes group;
    nmq_bytes text; // the whole, so that the parts need not be put together again
} nmq_filter;

// Both expect text that is valid UTF-8, without U+0000 [MQTT-4.7.3-2]. Neither accepts the
// empty text. A name has no wildcards [MQTT-4.7.0-1].
bool nmq_topic_check(nmq_bytes topic_name);
bool nmq_filter_check(nmq_bytes topic_filter);

// Splits and checks. Returns NMQ_OK, or NMQ_EFILTER for one that is malformed. The parts
// borrow from `text`.
int nmq_filter_parse(nmq_bytes text, nmq_filter *out);

// Splits one that was checked before.
nmq_filter nmq_filter_split(nmq_bytes text);

// Whether the text begins with "$share/". nmq_filter_join makes the parts again from the
// text of a checked filter and the length of its group; 0: it is not shared.
bool nmq_filter_is_shared(nmq_bytes text);
nmq_filter nmq_filter_join(nmq_bytes text, size_t group_len);

// Whether a valid filter, without $share, matches the Topic Name. A filter may stand for
// the name: "a/#" matches "a/+".
bool nmq_filter_matches(nmq_bytes topic_filter, nmq_bytes topic_name);

// Whether a valid filter has "+" or "#" for a level.
bool nmq_filter_has_wildcard(nmq_bytes topic_filter);

// Takes the next level off the front of *rest. Returns false when none is left. Start with
// *rest = the topic; "a//b" has the levels "a", "" and "b".
// Iteration state: rest->at == NULL means done.
bool nmq_topic_next_level(nmq_bytes *rest, nmq_bytes *level);

// Takes a mount point, which may be empty, off the front of *topic, a topic or filter.
// Returns false, and changes nothing, for one that does not lie below it: "site/#" matches
// "site" too.
bool nmq_topic_unmount(nmq_bytes mount, nmq_bytes *topic);

// Appends the text to *out, with the mount point, which may be empty, behind its first
// `head` bytes. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOPIC when it is too long then.
int nmq_topic_mount(nmq_bytes mount, nmq_bytes text, size_t head, nmq_buf *out);

// Whether the topic or filter has no more levels than that.
bool nmq_topic_levels_fit(nmq_bytes topic, uint32_t max);

// Whether the level is that wildcard, "+" or "#", and nothing else.
bool nmq_level_is(nmq_bytes level, char wildcard);

// Whether the topic's first character hides it from a leading wildcard [MQTT-4.7.2-1].
bool nmq_topic_is_hidden(nmq_bytes topic_name);
