#include "route/acl.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"

typedef struct {
    bool allow;
    uint8_t actions;
    nmq_bytes client_id; // owned; at NULL: any
    nmq_bytes user_name; // owned; at NULL: any
    uint8_t address[16];
    uint8_t address_len; // 0: any
    uint8_t prefix_bits;
    nmq_bytes *topics; // owned, each too
    size_t topic_count;
} rule;

struct nmq_acl {
    uint32_t refs; // atomic
    bool otherwise;
    bool deny_disconnects;
    size_t count;
    rule rules[];
};

static void
free_bytes(nmq_bytes *bytes)
{
    nmq_free((void *) (uintptr_t) bytes->at);
    *bytes = (nmq_bytes){0};
}

static void
rule_fini(rule *r)
{
    free_bytes(&r->client_id);
    free_bytes(&r->user_name);
    for (size_t i = 0; i < r->topic_count; i++) {
        free_bytes(&r->topics[i]);
    }
    nmq_free(r->topics);
}

static int
copy_text(const char *text, nmq_bytes *out)
{
    return text != NULL ? nmq_bytes_copy(nmq_bytes_of(text), out) : NMQ_OK;
}

static int
rule_init(rule *r, const nmq_acl_rule *from)
{
    r->allow = from->allow;
    r->actions = (uint8_t) ((from->publish ? NMQ_ACL_PUBLISH : 0) |
                            (from->subscribe ? NMQ_ACL_SUBSCRIBE : 0));
    r->address_len = from->address_len;
    r->prefix_bits = from->prefix_bits;
    memcpy(r->address, from->address, sizeof r->address);
    r->topics = nmq_zalloc((from->topic_count + 1) * sizeof *r->topics);
    if (r->topics == NULL || copy_text(from->client_id, &r->client_id) != NMQ_OK ||
        copy_text(from->user_name, &r->user_name) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    for (size_t i = 0; i < from->topic_count; i++) {
        if (copy_text(from->topics[i], &r->topics[i]) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        r->topic_count++;
    }
    return NMQ_OK;
}

nmq_acl *
nmq_acl_new(const nmq_acl_rules *rules)
{
    nmq_acl *acl = nmq_zalloc(sizeof *acl + rules->count * sizeof *acl->rules);

    if (acl == NULL) {
        return NULL;
    }
    acl->refs = 1;
    acl->otherwise = rules->otherwise;
    acl->deny_disconnects = rules->deny_disconnects;
    for (size_t i = 0; i < rules->count; i++) {
        acl->count++;
        if (rule_init(&acl->rules[i], &rules->at[i]) != NMQ_OK) {
            nmq_acl_unref(acl);
            return NULL;
        }
    }
    return acl;
}

nmq_acl *
nmq_acl_ref(nmq_acl *acl)
{
    if (acl != NULL) {
        (void) __atomic_add_fetch(&acl->refs, 1, __ATOMIC_RELAXED);
    }
    return acl;
}

void
nmq_acl_unref(nmq_acl *acl)
{
    if (acl == NULL || __atomic_sub_fetch(&acl->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    for (size_t i = 0; i < acl->count; i++) {
        rule_fini(&acl->rules[i]);
    }
    nmq_free(acl);
}

static bool
address_fits(const rule *r, const nmq_peer *peer)
{
    unsigned whole = r->prefix_bits / 8;
    unsigned rest = r->prefix_bits % 8;

    if (r->address_len == 0) {
        return true;
    }
    if (r->address_len != peer->address_len ||
        memcmp(r->address, peer->address, whole) != 0) {
        return false;
    }
    return rest == 0 || (r->address[whole] ^ peer->address[whole]) >> (8 - rest) == 0;
}

static bool
text_fits(nmq_bytes wanted, nmq_bytes given)
{
    return wanted.at == NULL || (given.at != NULL && nmq_bytes_equal(wanted, given));
}

void
nmq_acl_view_free(nmq_acl_view *view)
{
    nmq_acl_unref(view->acl);
    nmq_free(view->rules);
    free_bytes(&view->client_id);
    free_bytes(&view->user_name);
    *view = (nmq_acl_view){0};
}

// What a view holds that could not be made.
static nmq_acl nothing = {.refs = 1, .otherwise = false};

static int
fill(nmq_acl_view *view, const nmq_acl_subject *subject)
{
    view->rules = nmq_alloc((view->acl->count + 1) * sizeof *view->rules);
    if (view->rules == NULL ||
        nmq_bytes_copy(subject->client_id, &view->client_id) != NMQ_OK ||
        (subject->user_name.at != NULL &&
         nmq_bytes_copy(subject->user_name, &view->user_name) != NMQ_OK)) {
        return NMQ_ENOMEM;
    }
    for (size_t i = 0; i < view->acl->count; i++) {
        const rule *r = &view->acl->rules[i];
        if (text_fits(r->client_id, subject->client_id) &&
            text_fits(r->user_name, subject->user_name) && address_fits(r, subject->peer)) {
            view->rules[view->count++] = (uint32_t) i;
        }
    }
    uint32_t *fitted = nmq_resize(view->rules, (view->count + 1) * sizeof *view->rules);
    view->rules = fitted != NULL ? fitted : view->rules;
    return NMQ_OK;
}

int
nmq_acl_view_make(nmq_acl_view *view, nmq_acl *acl, const nmq_acl_subject *subject)
{
    nmq_acl_view_free(view);
    view->acl = acl;
    if (acl == NULL || fill(view, subject) == NMQ_OK) {
        return NMQ_OK;
    }
    nmq_acl_view_free(view);
    view->acl = nmq_acl_ref(&nothing);
    return NMQ_ENOMEM;
}

static bool
level_fits(nmq_bytes pattern, nmq_bytes level, const nmq_acl_view *view)
{
    if (nmq_level_is(pattern, '+')) {
        return !nmq_level_is(level, '#');
    }
    if (nmq_bytes_equal(pattern, (nmq_bytes){(const uint8_t *) "%c", 2})) {
        return nmq_bytes_equal(level, view->client_id);
    }
    if (nmq_bytes_equal(pattern, (nmq_bytes){(const uint8_t *) "%u", 2})) {
        return view->user_name.at != NULL && nmq_bytes_equal(level, view->user_name);
    }
    return nmq_bytes_equal(pattern, level);
}

bool
nmq_acl_covers(nmq_bytes pattern, nmq_bytes topic, const nmq_acl_view *view)
{
    bool hidden = nmq_topic_is_hidden(topic);
    nmq_bytes want;
    nmq_bytes got;

    for (bool first = true; nmq_topic_next_level(&pattern, &want); first = false) {
        bool wild = nmq_level_is(want, '+') || nmq_level_is(want, '#');
        if (first && wild && hidden) { // [MQTT-4.7.2-1]
            return false;
        }
        if (nmq_level_is(want, '#')) { // and the level above it
            return true;
        }
        if (!nmq_topic_next_level(&topic, &got)) {
            return false;
        }
        if (!level_fits(want, got, view)) {
            return false;
        }
    }
    return topic.at == NULL;
}

bool
nmq_acl_allows(const nmq_acl_view *view, enum nmq_acl_action action, nmq_bytes topic)
{
    if (view->acl == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < view->count; i++) {
        const rule *r = &view->acl->rules[view->rules[i]];
        for (size_t t = 0; (r->actions & action) != 0 && t < r->topic_count; t++) {
            if (nmq_acl_covers(r->topics[t], topic, view)) {
                return r->allow;
            }
        }
    }
    return view->acl->otherwise;
}

bool
nmq_acl_disconnects(const nmq_acl_view *view)
{
    return view->acl != NULL && view->acl->deny_disconnects;
}
