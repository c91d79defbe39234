// Promise: whatever the text, a Topic Name, a Topic Filter and a shared subscription are
// accepted exactly where the rules of 4.7 and 4.8, written out plainly here, accept them;
// and the levels of a topic put together are the topic.
#include <assert.h>
#include <string.h>

#include "base/status.h"
#include "mqtt/topic.h"
#include "mqtt/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
holds(nmq_bytes text, const char *any)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != 0 && strchr(any, text.at[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool
filter_by_the_rule(nmq_bytes filter)
{
    if (filter.len == 0 || filter.len > NMQ_TOPIC_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < filter.len; i++) {
        bool begins = i == 0 || filter.at[i - 1] == '/';
        bool ends = i + 1 == filter.len || filter.at[i + 1] == '/';
        if (filter.at[i] == '+' && !(begins && ends)) {
            return false;
        }
        if (filter.at[i] == '#' && !(begins && i + 1 == filter.len)) {
            return false;
        }
    }
    return true;
}

static void
check_levels(nmq_bytes topic)
{
    nmq_bytes rest = topic;
    nmq_bytes level;
    size_t at = 0;
    bool wildcard = false;

    while (nmq_topic_next_level(&rest, &level)) {
        assert(level.at == topic.at + at && !holds(level, "/"));
        wildcard = wildcard || nmq_level_is(level, '+') || nmq_level_is(level, '#');
        at += level.len + 1;
    }
    assert(at == topic.len + 1);
    if (nmq_filter_check(topic)) {
        assert(nmq_filter_has_wildcard(topic) == wildcard);
    }
}

static void
check_parse(nmq_bytes text)
{
    nmq_filter parsed;
    bool shared = text.len >= 7 && memcmp(text.at, "$share/", 7) == 0;
    int rv = nmq_filter_parse(text, &parsed);

    assert(rv == NMQ_OK || rv == NMQ_EFILTER);
    if (!shared) {
        assert((rv == NMQ_OK) == filter_by_the_rule(text));
        assert(rv != NMQ_OK || (parsed.group.at == NULL && parsed.filter.at == text.at &&
                                parsed.filter.len == text.len));
        return;
    }
    const uint8_t *slash = text.len > 7 ? memchr(text.at + 7, '/', text.len - 7) : NULL;
    nmq_bytes group = {0}, filter = {0};
    if (slash != NULL) {
        group = (nmq_bytes){text.at + 7, (size_t) (slash - text.at) - 7};
        filter = (nmq_bytes){slash + 1, text.len - group.len - 8};
    }
    bool good = slash != NULL && group.len > 0 && !holds(group, "+#") &&
                text.len <= NMQ_TOPIC_MAX_BYTES && filter_by_the_rule(filter);
    assert((rv == NMQ_OK) == good);
    assert(!good || (nmq_bytes_equal(parsed.group, group) &&
                     nmq_bytes_equal(parsed.filter, filter)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nmq_bytes text = {data, size};

    if (!nmq_utf8_check(text)) { // the codec let nothing else through
        return 0;
    }
    assert(memchr(data, 0, size) == NULL || size == 0);
    assert(nmq_topic_check(text) ==
           (size > 0 && size <= NMQ_TOPIC_MAX_BYTES && !holds(text, "+#")));
    assert(nmq_filter_check(text) == filter_by_the_rule(text));
    if (size > 0) {
        check_levels(text);
        check_parse(text);
        assert(nmq_topic_is_hidden(text) == (data[0] == '$'));
    }
    return 0;
}
