#include "mqtt/topic.h"

#include <string.h>

#include "base/status.h"

static bool
has_byte(nmq_bytes text, char byte)
{
    return text.len > 0 && memchr(text.at, byte, text.len) != NULL;
}

static bool
length_fits(nmq_bytes text)
{
    return text.len > 0 && text.len <= NMQ_TOPIC_MAX_BYTES; // [MQTT-4.7.3-1] [MQTT-4.7.3-3]
}

bool
nmq_topic_check(nmq_bytes topic_name)
{
    return length_fits(topic_name) && !has_byte(topic_name, '+') && // [MQTT-3.3.2-2]
           !has_byte(topic_name, '#');
}

bool
nmq_topic_next_level(nmq_bytes *rest, nmq_bytes *level)
{
    if (rest->at == NULL) {
        return false;
    }
    const uint8_t *slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
    if (slash == NULL) {
        *level = *rest;
        *rest = (nmq_bytes){0};
        return true;
    }
    *level = (nmq_bytes){rest->at, (size_t) (slash - rest->at)};
    *rest = (nmq_bytes){slash + 1, rest->len - level->len - 1};
    return true;
}

bool
nmq_filter_check(nmq_bytes topic_filter)
{
    nmq_bytes rest = topic_filter;
    nmq_bytes level;

    if (!length_fits(topic_filter)) {
        return false;
    }
    while (nmq_topic_next_level(&rest, &level)) {
        if (level.len == 1) {
            if (level.at[0] == '#' && rest.at != NULL) {
                return false; // not the last level [MQTT-4.7.1-1]
            }
        } else if (has_byte(level, '#') || has_byte(level, '+')) {
            return false; // beside other characters [MQTT-4.7.1-1] [MQTT-4.7.1-2]
        }
    }
    return true;
}

static const char share[] = "$share/";

_Static_assert(sizeof share - 1 == NMQ_SHARE_BYTES, "the length of it");

bool
nmq_filter_is_shared(nmq_bytes text)
{
    return text.len >= NMQ_SHARE_BYTES && memcmp(text.at, share, NMQ_SHARE_BYTES) == 0;
}

// Without a second "/" the filter's at is NULL.
nmq_filter
nmq_filter_split(nmq_bytes text)
{
    nmq_filter out = {.filter = text, .text = text};

    if (nmq_filter_is_shared(text)) {
        out.filter = (nmq_bytes){text.at + NMQ_SHARE_BYTES, text.len - NMQ_SHARE_BYTES};
        (void) nmq_topic_next_level(&out.filter, &out.group);
    }
    return out;
}

nmq_filter
nmq_filter_join(nmq_bytes text, size_t group_len)
{
    size_t before = group_len > 0 ? NMQ_SHARE_BYTES + group_len + 1 : 0;
    nmq_filter out = {.filter = {text.at + before, text.len - before}, .text = text};

    if (before > 0) {
        out.group = (nmq_bytes){text.at + NMQ_SHARE_BYTES, group_len};
    }
    return out;
}

int
nmq_filter_parse(nmq_bytes text, nmq_filter *out)
{
    nmq_filter parsed = nmq_filter_split(text);
    nmq_bytes group = parsed.group;

    if (group.at != NULL &&
        (group.len == 0 ||                                // [MQTT-4.8.2-1]
         has_byte(group, '+') || has_byte(group, '#'))) { // [MQTT-4.8.2-2]
        return NMQ_EFILTER;
    }
    if (text.len > NMQ_TOPIC_MAX_BYTES || !nmq_filter_check(parsed.filter)) {
        return NMQ_EFILTER;
    }
    *out = parsed;
    return NMQ_OK;
}

bool
nmq_level_is(nmq_bytes level, char wildcard)
{
    return level.len == 1 && level.at[0] == (uint8_t) wildcard;
}

bool
nmq_topic_is_hidden(nmq_bytes topic_name)
{
    return topic_name.len > 0 && topic_name.at[0] == '$';
}

bool
nmq_filter_has_wildcard(nmq_bytes topic_filter)
{
    // In a valid filter these characters stand alone on their level.
    return topic_filter.len > 0 &&
           (memchr(topic_filter.at, '+', topic_filter.len) != NULL ||
            memchr(topic_filter.at, '#', topic_filter.len) != NULL);
}

int
nmq_topic_mount(nmq_bytes mount, nmq_bytes text, size_t head, nmq_buf *out)
{
    if (text.len + mount.len > NMQ_TOPIC_MAX_BYTES) {
        return NMQ_ETOPIC;
    }
    return nmq_buf_put(out, (nmq_bytes){text.at, head}) == NMQ_OK &&
                   nmq_buf_put(out, mount) == NMQ_OK &&
                   nmq_buf_put(out, (nmq_bytes){text.at + head, text.len - head}) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

// The level count is one more than the separators.
bool
nmq_topic_levels_fit(nmq_bytes topic, uint32_t max)
{
    for (const uint8_t *at = topic.at; at != NULL && max > 0; max--) {
        size_t rest = topic.len - (size_t) (at - topic.at);
        at = rest > 0 ? memchr(at, '/', rest) : NULL;
        if (at == NULL) {
            return true;
        }
        at++;
    }
    return topic.len == 0;
}

bool
nmq_topic_unmount(nmq_bytes mount, nmq_bytes *topic)
{
    if (mount.len == 0) {
        return true;
    }
    if (topic->len <= mount.len || memcmp(topic->at, mount.at, mount.len) != 0) {
        return false;
    }
    topic->at += mount.len;
    topic->len -= mount.len;
    return true;
}

bool
nmq_filter_matches(nmq_bytes topic_filter, nmq_bytes topic_name)
{
    bool wild = !nmq_topic_is_hidden(topic_name); // [MQTT-4.7.2-1]
    nmq_bytes wanted;
    nmq_bytes level;

    while (nmq_topic_next_level(&topic_filter, &wanted)) {
        if (wild && nmq_level_is(wanted, '#')) {
            return true;
        }
        if (!nmq_topic_next_level(&topic_name, &level) ||
            !((wild && nmq_level_is(wanted, '+')) || nmq_bytes_equal(wanted, level))) {
            return false;
        }
        wild = true;
    }
    return topic_name.at == NULL;
}
