#include "route/acl.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"

static bool
address_fits(const nmq_acl_entry *r, const nmq_peer *peer)
{
    return r->network.address_len == 0 || nmq_peer_is_in(peer, &r->network);
}

static bool
text_fits(nmq_bytes wanted, nmq_bytes given)
{
    return wanted.at == NULL || (given.at != NULL && nmq_bytes_equal(wanted, given));
}

// Whether the rule is about the subject.
static bool
names(const nmq_acl_entry *r, const nmq_acl_subject *subject)
{
    return text_fits(r->client_id, subject->client_id) &&
           text_fits(r->user_name, subject->user_name) && address_fits(r, subject->peer);
}

static void
empty(nmq_acl_view *view)
{
    nmq_acl_unref(view->acl);
    nmq_free(view->rules);
    nmq_bytes_free(&view->client_id);
    nmq_bytes_free(&view->user_name);
    *view = (nmq_acl_view){0};
}

void
nmq_acl_view_free(nmq_acl_view *view)
{
    if (view->own != NULL) {
        empty(view->own);
        nmq_free(view->own);
    }
    empty(view);
}

// The acl of a view that could not be made: it denies everything.
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
        if (names(&view->acl->rules[i], subject)) {
            view->rules[view->count++] = (uint32_t) i;
        }
    }
    uint32_t *fitted = nmq_resize(view->rules, (view->count + 1) * sizeof *view->rules);
    view->rules = fitted != NULL ? fitted : view->rules;
    return NMQ_OK;
}

// Makes the view of the client's own rules, if it has any.
static int
fill_own(nmq_acl_view *view, const nmq_acl_subject *subject)
{
    if (subject->own == NULL) {
        return NMQ_OK;
    }
    view->own = nmq_zalloc(sizeof *view->own);
    if (view->own == NULL) {
        return NMQ_ENOMEM;
    }
    view->own->acl = nmq_acl_ref(subject->own);
    return fill(view->own, subject);
}

int
nmq_acl_view_make(nmq_acl_view *view, nmq_acl *acl, const nmq_acl_subject *subject)
{
    nmq_acl_view_free(view);
    if (subject->superuser) {
        nmq_acl_unref(acl);
        return NMQ_OK;
    }
    view->acl = acl;
    if (fill_own(view, subject) == NMQ_OK &&
        (acl == NULL || fill(view, subject) == NMQ_OK)) {
        return NMQ_OK;
    }
    nmq_acl_view_free(view);
    view->acl = nmq_acl_ref(&nothing);
    return NMQ_ENOMEM;
}

// Whether the level of a pattern is a mark for a name, and which.
static bool
is_mark(nmq_bytes level, const nmq_acl_view *view, nmq_bytes *name)
{
    bool mark =
        level.len == 2 && level.at[0] == '%' && (level.at[1] == 'c' || level.at[1] == 'u');

    if (mark) {
        *name = level.at[1] == 'c' ? view->client_id : view->user_name;
    }
    return mark;
}

// Puts the name in place of a mark. Returns false when there is none that can be a level.
static bool
resolve(nmq_bytes *level, bool first, const nmq_acl_view *view)
{
    nmq_bytes name = {0};

    if (!is_mark(*level, view, &name)) {
        return true;
    }
    *level = name;
    return name.len > 0 && memchr(name.at, '/', name.len) == NULL &&
           !nmq_filter_has_wildcard(name) && !(first && nmq_topic_is_hidden(name));
}

static bool
is_wild(nmq_bytes level)
{
    return nmq_level_is(level, '+') || nmq_level_is(level, '#');
}

bool
nmq_acl_covers(nmq_bytes pattern, nmq_bytes topic, const nmq_acl_view *view)
{
    bool hidden = nmq_topic_is_hidden(topic);
    nmq_bytes want;
    nmq_bytes got;

    for (bool first = true; nmq_topic_next_level(&pattern, &want); first = false) {
        if ((first && is_wild(want) && hidden) || // [MQTT-4.7.2-1]
            !resolve(&want, first, view)) {
            return false;
        }
        if (nmq_level_is(want, '#')) { // and the level above it
            return true;
        }
        if (!nmq_topic_next_level(&topic, &got)) {
            return false;
        }
        if (nmq_level_is(want, '+') ? nmq_level_is(got, '#')
                                    : !nmq_bytes_equal(want, got)) {
            return false;
        }
    }
    return topic.at == NULL;
}

// Whether some topic has what is left of the pattern as its last levels.
static bool
can_end(nmq_bytes pattern, const nmq_acl_view *view)
{
    nmq_bytes level;

    while (nmq_topic_next_level(&pattern, &level)) {
        if (!resolve(&level, false, view)) {
            return false;
        }
    }
    return true;
}

// Whether nothing is left, or only "#", which matches the level above it too.
static bool
may_be_over(nmq_bytes rest)
{
    return rest.at == NULL || nmq_level_is(rest, '#');
}

bool
nmq_acl_meets(nmq_bytes pattern, nmq_bytes topic, const nmq_acl_view *view)
{
    nmq_bytes want = {0};
    nmq_bytes got = {0};
    bool one_level = false;

    for (bool first = true; pattern.at != NULL && topic.at != NULL; first = false) {
        (void) nmq_topic_next_level(&pattern, &want);
        (void) nmq_topic_next_level(&topic, &got);
        if (first && ((is_wild(want) && nmq_topic_is_hidden(got)) ||
                      (is_wild(got) && nmq_topic_is_hidden(want)))) { // [MQTT-4.7.2-1]
            return false;
        }
        one_level = first;
        if (!resolve(&want, first, view)) {
            return false;
        }
        if (nmq_level_is(want, '#')) {
            return true;
        }
        if (nmq_level_is(got, '#')) {
            return can_end(pattern, view);
        }
        if (!is_wild(want) && !is_wild(got) && !nmq_bytes_equal(want, got)) {
            return false;
        }
    }
    if (one_level && (want.len == 0 || got.len == 0)) { // no topic is empty [MQTT-4.7.3-1]
        return false;
    }
    return may_be_over(pattern) && may_be_over(topic);
}

// Whether the rule applies to the topic.
static bool
applies(const nmq_acl_entry *r, nmq_bytes topic, const nmq_acl_view *view)
{
    bool (*is_about)(nmq_bytes, nmq_bytes, const nmq_acl_view *) =
        r->allow ? nmq_acl_covers : nmq_acl_meets;

    for (size_t i = 0; i < r->topic_count; i++) {
        if (is_about(r->topics[i], topic, view)) {
            return true;
        }
    }
    return false;
}

static enum nmq_access
says(const nmq_acl_entry *r)
{
    return r->allow ? NMQ_ACCESS_ALLOW : NMQ_ACCESS_DENY;
}

enum nmq_access
nmq_acl_judge(const nmq_acl_view *view, enum nmq_acl_action action, nmq_bytes topic)
{
    for (uint32_t i = 0; i < view->count; i++) {
        const nmq_acl_entry *r = &view->acl->rules[view->rules[i]];
        if ((r->actions & action) != 0 && applies(r, topic, view)) {
            return says(r);
        }
    }
    return NMQ_ACCESS_PASS;
}

// What becomes of what own rules say: those that hold nothing otherwise pass nothing on.
static enum nmq_access
closed(const nmq_acl *own, enum nmq_access said)
{
    return said == NMQ_ACCESS_PASS && !own->otherwise ? NMQ_ACCESS_DENY : said;
}

enum nmq_access
nmq_acl_judge_own(const nmq_acl_view *view, enum nmq_acl_action action, nmq_bytes topic)
{
    return view->own == NULL
               ? NMQ_ACCESS_PASS
               : closed(view->own->acl, nmq_acl_judge(view->own, action, topic));
}

bool
nmq_acl_asks(const nmq_acl_view *view)
{
    return view->acl != NULL && view->acl->asks;
}

bool
nmq_acl_otherwise(const nmq_acl_view *view)
{
    return view->acl == NULL || view->acl->otherwise;
}

// Whether what the rules say lets something stay.
static bool
stays(const nmq_acl *acl, enum nmq_access said)
{
    return said == NMQ_ACCESS_PASS ? acl == NULL || acl->asks || acl->otherwise
                                   : said == NMQ_ACCESS_ALLOW;
}

bool
nmq_acl_allows(const nmq_acl_view *view, enum nmq_acl_action action, nmq_bytes topic)
{
    enum nmq_access said = nmq_acl_judge_own(view, action, topic);

    return stays(view->acl,
                 said == NMQ_ACCESS_PASS ? nmq_acl_judge(view, action, topic) : said);
}

// What the rules say of the subject, without a view.
static enum nmq_access
try_all(const nmq_acl *acl, const nmq_acl_subject *subject, enum nmq_acl_action action,
        nmq_bytes topic)
{
    const nmq_acl_view view = {
        .client_id = subject->client_id,
        .user_name = subject->user_name,
    };
    enum nmq_access said = NMQ_ACCESS_PASS;

    for (size_t i = 0; acl != NULL && i < acl->count && said == NMQ_ACCESS_PASS; i++) {
        const nmq_acl_entry *r = &acl->rules[i];
        if ((r->actions & action) != 0 && names(r, subject) && applies(r, topic, &view)) {
            said = says(r);
        }
    }
    return said;
}

bool
nmq_acl_permits(const nmq_acl *acl, const nmq_acl_subject *subject,
                enum nmq_acl_action action, nmq_bytes topic)
{
    enum nmq_access said = NMQ_ACCESS_PASS;

    if (subject->superuser) {
        return true;
    }
    if (subject->own != NULL) {
        said = closed(subject->own, try_all(subject->own, subject, action, topic));
    }
    return stays(acl,
                 said == NMQ_ACCESS_PASS ? try_all(acl, subject, action, topic) : said);
}

bool
nmq_acl_has_addresses(const nmq_acl *acl)
{
    for (size_t i = 0; acl != NULL && i < acl->count; i++) {
        if (acl->rules[i].network.address_len > 0) {
            return true;
        }
    }
    return false;
}

bool
nmq_acl_disconnects(const nmq_acl_view *view)
{
    return view->acl != NULL && view->acl->deny_disconnects;
}
