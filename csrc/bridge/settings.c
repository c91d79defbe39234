#include "bridge/settings.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/packet.h"

enum {
    NAME_MAX_BYTES = 255,
    TEXT_MAX_BYTES = UINT16_MAX,
    IDENTIFIER_MAX = 268435455, // of a Subscription Identifier
};

// --- what may be said

static bool
is_text(nmq_bytes text)
{
    return text.len <= TEXT_MAX_BYTES && nmq_utf8_check(text);
}

static bool
has_wildcard(nmq_bytes text)
{
    return text.len > 0 && (memchr(text.at, '+', text.len) != NULL ||
                            memchr(text.at, '#', text.len) != NULL);
}

static bool
begins_with(nmq_bytes text, nmq_bytes head)
{
    return head.len <= text.len &&
           (head.len == 0 || memcmp(text.at, head.at, head.len) == 0);
}

static int
check_rule(const nmq_bridge_rule *rule, nmq_bytes filter)
{
    nmq_filter parsed;

    if (rule->qos > 2 || rule->retain > NMQ_BRIDGE_RETAIN_SET) {
        return NMQ_EINVAL;
    }
    if (!is_text(filter) || nmq_filter_parse(filter, &parsed) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    if (!is_text(rule->to) || has_wildcard(rule->to) ||
        (rule->fixed && !nmq_topic_check(rule->to))) {
        return NMQ_ETOPIC;
    }
    return rule->fixed || begins_with(parsed.filter, rule->from) ? NMQ_OK : NMQ_ETOPIC;
}

static int
check_will(const nmq_bridge_options *o)
{
    const nmq_bytes topic = nmq_bridge_slice(o->will_topic, o->will_topic_len);

    if (topic.at == NULL) {
        return NMQ_OK;
    }
    if (o->will_qos > 2 || o->will_payload_len > TEXT_MAX_BYTES) {
        return NMQ_EINVAL;
    }
    return is_text(topic) && nmq_topic_check(topic) ? NMQ_OK : NMQ_ETOPIC;
}

static int
check(const nmq_bridge_options *o)
{
    const nmq_bytes user_name = nmq_bridge_slice(o->user_name, o->user_name_len);

    if (o->name_len == 0 || o->name_len > NAME_MAX_BYTES ||
        !is_text(nmq_bridge_slice(o->name, o->name_len)) ||
        !is_text(nmq_bridge_slice(o->client_id, o->client_id_len)) || !is_text(user_name) ||
        o->password_len > TEXT_MAX_BYTES ||
        (o->version != NMQ_V311 && o->version != NMQ_V5) || o->receive_maximum == 0 ||
        o->queue_max == 0) {
        return NMQ_EINVAL;
    }
    if (o->version != NMQ_V5 && // [MQTT-3.1.2-22 of 3.1.1] [MQTT-3.1.3-7 of 3.1.1]
        ((o->password != NULL && o->user_name == NULL) ||
         (o->client_id_len == 0 && !o->clean_start))) {
        return NMQ_EINVAL;
    }
    return check_will(o);
}

// --- the copy

static nmq_bridge_rule
rule_of_forward(const nmq_bridge_forward *f)
{
    return (nmq_bridge_rule){.from = nmq_bridge_slice(f->local, f->local_len),
                             .to = nmq_bridge_slice(f->remote, f->remote_len),
                             .fixed = f->fixed != 0,
                             .qos = f->qos,
                             .retain = f->retain};
}

static nmq_bridge_rule
rule_of_subscription(const nmq_bridge_subscription *s)
{
    return (nmq_bridge_rule){.from = nmq_bridge_slice(s->remote, s->remote_len),
                             .to = nmq_bridge_slice(s->local, s->local_len),
                             .fixed = s->fixed != 0,
                             .qos = s->qos,
                             .retain = s->retain};
}

static size_t
bytes_of(const nmq_bridge_options *o)
{
    size_t bytes = o->name_len + o->client_id_len + o->user_name_len + o->password_len +
                   o->will_topic_len + o->will_payload_len;

    for (size_t i = 0; i < o->forward_count; i++) {
        const nmq_bridge_forward *f = &o->forwards[i];
        bytes += f->filter_len + f->local_len + f->remote_len;
    }
    for (size_t i = 0; i < o->subscription_count; i++) {
        const nmq_bridge_subscription *s = &o->subscriptions[i];
        bytes += s->filter_len + s->local_len + s->remote_len;
    }
    return bytes;
}

static nmq_bytes
put(uint8_t **to, nmq_bytes text)
{
    const nmq_bytes copy = {*to, text.len};

    if (text.len > 0) {
        memcpy(*to, text.at, text.len);
        *to += text.len;
    }
    return copy;
}

static void
copy_text(uint8_t **to, const char **text, size_t len)
{
    if (*text != NULL) {
        *text = (const char *) put(to, nmq_bridge_slice(*text, len)).at;
    }
}

static void
copy_texts(nmq_bridge_options *o, uint8_t **to)
{
    copy_text(to, &o->name, o->name_len);
    copy_text(to, &o->client_id, o->client_id_len);
    copy_text(to, &o->user_name, o->user_name_len);
    copy_text(to, &o->password, o->password_len);
    copy_text(to, &o->will_topic, o->will_topic_len);
    copy_text(to, &o->will_payload, o->will_payload_len);
}

// Two rules of a bridge have different ones.
static uint32_t
identifier_of(const nmq_bridge_rule *rules, size_t before, const nmq_bridge_rule *rule)
{
    const uint8_t fixed = rule->fixed;
    const nmq_bytes parts[] = {rule->filter.text, rule->from, rule->to, {&fixed, 1}};
    uint32_t crc = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        crc = nmq_crc32c(nmq_crc32c(crc, parts[i]), (nmq_bytes){(const uint8_t *) "", 1});
    }
    uint32_t identifier = crc % IDENTIFIER_MAX + 1;
    for (size_t i = 0; i < before;) {
        bool taken = rules[i].identifier == identifier;
        identifier = taken ? identifier % IDENTIFIER_MAX + 1 : identifier;
        i = taken ? 0 : i + 1;
    }
    return identifier;
}

static int
take_rule(nmq_bridge_rule *rules, size_t at, nmq_bridge_rule rule, nmq_bytes filter,
          uint8_t **to)
{
    int rv = check_rule(&rule, filter);

    if (rv == NMQ_OK) {
        const nmq_bytes text = put(to, filter);
        (void) nmq_filter_parse(text, &rule.filter);
        rule.from = put(to, rule.from);
        rule.to = put(to, rule.to);
        rule.identifier = identifier_of(rules, at, &rule);
        rules[at] = rule;
    }
    return rv;
}

static int
take_rules(nmq_bridge_settings *s, uint8_t *to)
{
    const nmq_bridge_options *o = &s->options;
    int rv = NMQ_OK;

    for (size_t i = 0; i < o->forward_count && rv == NMQ_OK; i++) {
        const nmq_bridge_forward *f = &o->forwards[i];
        rv = take_rule(s->forwards, i, rule_of_forward(f),
                       nmq_bridge_slice(f->filter, f->filter_len), &to);
    }
    for (size_t i = 0; i < o->subscription_count && rv == NMQ_OK; i++) {
        const nmq_bridge_subscription *sub = &o->subscriptions[i];
        rv = take_rule(s->subscriptions, i, rule_of_subscription(sub),
                       nmq_bridge_slice(sub->filter, sub->filter_len), &to);
    }
    return rv;
}

int
nmq_bridge_settings_new(const nmq_bridge_options *options, nmq_bridge_settings **out)
{
    int rv = check(options);

    if (rv != NMQ_OK) {
        return rv;
    }
    size_t rules = options->forward_count + options->subscription_count;
    nmq_bridge_settings *s =
        nmq_zalloc(sizeof *s + rules * sizeof(nmq_bridge_rule) + bytes_of(options));
    if (s == NULL) {
        return NMQ_ENOMEM;
    }
    s->refs = 1;
    s->options = *options;
    s->forwards = (nmq_bridge_rule *) (s + 1);
    s->subscriptions = s->forwards + options->forward_count;
    uint8_t *to = (uint8_t *) (s->forwards + rules);
    copy_texts(&s->options, &to);
    rv = take_rules(s, to);
    s->options.forwards = NULL; // of the caller
    s->options.subscriptions = NULL;
    if (rv != NMQ_OK) {
        nmq_bridge_settings_unref(s);
        return rv;
    }
    *out = s;
    return NMQ_OK;
}

nmq_bridge_settings *
nmq_bridge_settings_ref(nmq_bridge_settings *settings)
{
    (void) __atomic_add_fetch(&settings->refs, 1, __ATOMIC_RELAXED);
    return settings;
}

void
nmq_bridge_settings_unref(nmq_bridge_settings *settings)
{
    if (settings != NULL && __atomic_sub_fetch(&settings->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        nmq_free(settings);
    }
}

// --- topics

static const nmq_bridge_rule *
first_match(const nmq_bridge_rule *rules, size_t count, nmq_bytes topic_name)
{
    for (size_t i = 0; i < count; i++) {
        if (nmq_filter_matches(rules[i].filter.filter, topic_name)) {
            return &rules[i];
        }
    }
    return NULL;
}

const nmq_bridge_rule *
nmq_bridge_settings_from(const nmq_bridge_settings *settings, nmq_bytes topic_name)
{
    return first_match(settings->subscriptions, settings->options.subscription_count,
                       topic_name);
}

const nmq_bridge_rule *
nmq_bridge_settings_to(const nmq_bridge_settings *settings, nmq_bytes topic_name,
                       const uint32_t *ids, size_t id_count)
{
    for (size_t i = 0; i < settings->options.forward_count; i++) {
        for (size_t at = 0; at < id_count; at++) {
            if (settings->forwards[i].identifier == ids[at]) {
                return &settings->forwards[i];
            }
        }
    }
    return first_match(settings->forwards, settings->options.forward_count, topic_name);
}

// Takes `from` off the front of *topic: "a/" off "a" too, which "a/#" matches.
static bool
take_off(nmq_bytes from, nmq_bytes *topic, bool *whole)
{
    *whole = from.len == topic->len + 1 && from.at[topic->len] == '/' &&
             begins_with(from, *topic);
    if (*whole) {
        topic->len = 0;
        return true;
    }
    if (!begins_with(*topic, from)) {
        return false;
    }
    topic->at += from.len;
    topic->len -= from.len;
    return true;
}

int
nmq_bridge_rule_map(const nmq_bridge_rule *rule, nmq_bytes topic_name, nmq_buf *scratch,
                    nmq_bytes *out)
{
    nmq_bytes head = rule->to;
    bool whole;

    if (rule->fixed || (rule->from.len == 0 && rule->to.len == 0)) {
        *out = rule->fixed ? rule->to : topic_name;
        return NMQ_OK;
    }
    if (!take_off(rule->from, &topic_name, &whole)) {
        return NMQ_ETOPIC;
    }
    head.len -= whole && head.len > 0 && head.at[head.len - 1] == '/';
    scratch->len = 0;
    if (head.len + topic_name.len == 0 || head.len + topic_name.len > NMQ_TOPIC_MAX_BYTES) {
        return NMQ_ETOPIC;
    }
    if (nmq_buf_put(scratch, head) != NMQ_OK ||
        nmq_buf_put(scratch, topic_name) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    *out = (nmq_bytes){scratch->at, scratch->len};
    return NMQ_OK;
}

bool
nmq_bridge_rule_retain(const nmq_bridge_rule *rule, bool retain)
{
    return rule->retain == NMQ_BRIDGE_RETAIN_KEEP ? retain
                                                  : rule->retain == NMQ_BRIDGE_RETAIN_SET;
}
