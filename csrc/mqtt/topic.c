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

int
nmq_filter_parse(nmq_bytes text, nmq_filter *out)
{
    static const char share[] = "$share/";
    const size_t prefix = sizeof share - 1;
    nmq_filter parsed = {.filter = text, .text = text};

    if (text.len >= prefix && memcmp(text.at, share, prefix) == 0) {
        nmq_bytes rest = {text.at + prefix, text.len - prefix};
        if (!nmq_topic_next_level(&rest, &parsed.group) ||
            parsed.group.len == 0 ||                                      // [MQTT-4.8.2-1]
            has_byte(parsed.group, '+') || has_byte(parsed.group, '#') || // [MQTT-4.8.2-2]
            rest.at == NULL) {
            return NMQ_EFILTER;
        }
        parsed.filter = rest;
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
