#include "route/acl.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"

static void
empty(nmq_acl_view *view)
{
    nmq_acl_unref(view->acl);
    nmq_free(view->groups);
    nmq_bytes_free(&view->who.client_id);
    nmq_bytes_free(&view->who.user_name);
    nmq_bytes_free(&view->who.address);
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

// nmq_acl_group_fn of a view.
static int
add_group(void *arg, const nmq_acl_group *group)
{
    nmq_acl_view *view = arg;
    const nmq_acl_group **more =
        nmq_resize(view->groups, (view->count + 1) * sizeof *view->groups);

    if (more == NULL) {
        return NMQ_ENOMEM;
    }
    view->groups = more;
    view->groups[view->count++] = group;
    return NMQ_OK;
}

static int
fill(nmq_acl_view *view, const nmq_acl_subject *subject)
{
    int rv = nmq_bytes_copy(subject->client_id, &view->who.client_id);

    if (rv == NMQ_OK && subject->user_name.at != NULL) {
        rv = nmq_bytes_copy(subject->user_name, &view->who.user_name);
    }
    if (rv == NMQ_OK && view->acl->marks_address) {
        const nmq_peer_text host = nmq_peer_host(subject->peer);
        rv = nmq_bytes_copy(nmq_bytes_of(host.text), &view->who.address);
    }
    return rv == NMQ_OK ? nmq_acl_groups_find(view->acl, subject, add_group, view) : rv;
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

static void
search_group(nmq_acl_search *search, const nmq_acl_group *group, nmq_bytes topic)
{
    nmq_acl_search_tree(search, &group->root, topic);
    if (group->literal != NULL) {
        nmq_acl_search_literal(search, group->literal, topic);
    }
}

static enum nmq_access
says(const nmq_acl_search *search)
{
    if (search->best == NMQ_ACL_NO_RULE) {
        return NMQ_ACCESS_PASS;
    }
    return search->allow ? NMQ_ACCESS_ALLOW : NMQ_ACCESS_DENY;
}

static enum nmq_access
judge_anew(const nmq_acl_view *view, uint16_t act, nmq_bytes topic)
{
    nmq_acl_search search = {.who = &view->who, .act = act, .best = NMQ_ACL_NO_RULE};

    for (uint32_t i = 0; i < view->count; i++) {
        search_group(&search, view->groups[i], topic);
    }
    return says(&search);
}

static void
remember(nmq_acl_last *last, uint16_t act, nmq_bytes topic, enum nmq_access said)
{
    if (topic.len <= sizeof last->topic) {
        last->act = act;
        last->said = (uint8_t) said;
        last->len = (uint8_t) topic.len;
        memcpy(last->topic, topic.at, topic.len);
    }
}

enum nmq_access
nmq_acl_judge(nmq_acl_view *view, uint16_t act, nmq_bytes topic)
{
    nmq_acl_last *last = &view->last;

    if (topic.len == last->len && act == last->act &&
        memcmp(topic.at, last->topic, topic.len) == 0) {
        return (enum nmq_access) last->said;
    }
    enum nmq_access said = judge_anew(view, act, topic);
    remember(last, act, topic, said);
    return said;
}

// What becomes of what own rules say: those that hold nothing otherwise pass nothing on.
static enum nmq_access
closed(const nmq_acl *own, enum nmq_access said)
{
    return said == NMQ_ACCESS_PASS && !own->otherwise ? NMQ_ACCESS_DENY : said;
}

enum nmq_access
nmq_acl_judge_own(nmq_acl_view *view, uint16_t act, nmq_bytes topic)
{
    return view->own == NULL ? NMQ_ACCESS_PASS
                             : closed(view->own->acl, nmq_acl_judge(view->own, act, topic));
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
nmq_acl_allows(nmq_acl_view *view, uint16_t act, nmq_bytes topic)
{
    enum nmq_access said = nmq_acl_judge_own(view, act, topic);

    return stays(view->acl,
                 said == NMQ_ACCESS_PASS ? nmq_acl_judge(view, act, topic) : said);
}

typedef struct {
    nmq_acl_search search;
    nmq_bytes topic;
} trial;

// nmq_acl_group_fn of a trial.
static int
try_group(void *arg, const nmq_acl_group *group)
{
    trial *t = arg;

    search_group(&t->search, group, t->topic);
    return NMQ_OK;
}

int
nmq_acl_try(const nmq_acl *acl, const nmq_acl_subject *subject, uint16_t act,
            nmq_bytes topic, nmq_acl_search *search)
{
    const nmq_peer_text host = nmq_peer_host(subject->peer);
    const nmq_acl_names who = {subject->client_id, subject->user_name,
                               nmq_bytes_of(host.text)};
    trial t = {.search = {.who = &who, .act = act, .best = NMQ_ACL_NO_RULE},
               .topic = topic};
    int rv = nmq_acl_groups_find(acl, subject, try_group, &t);

    *search = t.search;
    search->who = NULL;
    return rv;
}

// What the rules say of the subject, without a view. When memory is out, they deny.
static enum nmq_access
try_all(const nmq_acl *acl, const nmq_acl_subject *subject, uint16_t act, nmq_bytes topic)
{
    nmq_acl_search search;

    if (acl == NULL) {
        return NMQ_ACCESS_PASS;
    }
    return nmq_acl_try(acl, subject, act, topic, &search) == NMQ_OK ? says(&search)
                                                                    : NMQ_ACCESS_DENY;
}

bool
nmq_acl_permits(const nmq_acl *acl, const nmq_acl_subject *subject, uint16_t act,
                nmq_bytes topic)
{
    enum nmq_access said = NMQ_ACCESS_PASS;

    if (subject->superuser) {
        return true;
    }
    if (subject->own != NULL) {
        said = closed(subject->own, try_all(subject->own, subject, act, topic));
    }
    return stays(acl, said == NMQ_ACCESS_PASS ? try_all(acl, subject, act, topic) : said);
}

bool
nmq_acl_has_addresses(const nmq_acl *acl)
{
    return acl != NULL && (acl->prefix_count > 0 || acl->marks_address);
}

bool
nmq_acl_disconnects(const nmq_acl_view *view)
{
    return view->acl != NULL && view->acl->deny_disconnects;
}
