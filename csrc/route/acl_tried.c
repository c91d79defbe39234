#include "route/acl_tried.h"

#include <string.h>

#include "base/status.h"
#include "mqtt/topic.h"

int
nmq_acl_tried_read(const nmq_acl_trial *trial, nmq_acl_tried *out)
{
    nmq_filter filter = {.filter = nmq_bytes_of(trial->topic)};

    if (trial->publish && !nmq_topic_check(filter.filter)) {
        return NMQ_ETOPIC;
    }
    if (!trial->publish && nmq_filter_parse(filter.filter, &filter) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    *out = (nmq_acl_tried){
        .peer = {.address_len = trial->address_len},
        .subject = {.client_id = nmq_bytes_of(trial->client_id)},
        .topic = filter.filter,
        .act = trial->publish ? nmq_acl_publish(trial->qos, trial->retain)
                              : nmq_acl_subscribe(trial->qos),
    };
    memcpy(out->peer.address, trial->address, sizeof out->peer.address);
    if (trial->user_name != NULL) {
        out->subject.user_name = nmq_bytes_of(trial->user_name);
    }
    return NMQ_OK;
}

static void
rule(nmq_acl_ruling *out, enum nmq_decider by, bool allow)
{
    out->by = (uint8_t) by;
    out->access = allow ? NMQ_ACCESS_ALLOW : NMQ_ACCESS_DENY;
}

// What these rules say, if they say anything. Returns 1 if so, 0, or NMQ_ENOMEM.
static int
ask(const nmq_acl *acl, const nmq_acl_subject *subject, const nmq_acl_tried *tried,
    enum nmq_decider by, nmq_acl_ruling *out)
{
    nmq_acl_search search;

    if (acl == NULL) {
        return 0;
    }
    int rv = nmq_acl_try(acl, subject, tried->act, tried->topic, &search);
    if (rv != NMQ_OK || search.best == NMQ_ACL_NO_RULE) {
        return rv;
    }
    rule(out, by, search.allow);
    out->rule = search.best;
    return 1;
}

int
nmq_acl_tried_rule(const nmq_acl *acl, const nmq_acl_subject *subject,
                   const nmq_acl_tried *tried, nmq_acl_ruling *out)
{
    bool otherwise = acl == NULL || acl->otherwise;
    nmq_acl_ruling said = {.otherwise = otherwise};

    rule(&said, NMQ_DECIDER_SUPERUSER, true);
    int rv =
        subject->superuser ? 1 : ask(subject->own, subject, tried, NMQ_DECIDER_OWN, &said);
    if (rv == 0 && subject->own != NULL && !subject->own->otherwise) {
        rule(&said, NMQ_DECIDER_OWN, false); // its own rules are all that it may
        rv = 1;
    }
    if (rv == 0) {
        rv = ask(acl, subject, tried, NMQ_DECIDER_RULE, &said);
    }
    if (rv == 0) {
        rule(&said, NMQ_DECIDER_NONE, otherwise);
        said.access = acl != NULL && acl->asks ? NMQ_ACCESS_LATER : said.access;
    }
    if (rv >= 0) {
        *out = said;
    }
    return rv < 0 ? rv : NMQ_OK;
}
