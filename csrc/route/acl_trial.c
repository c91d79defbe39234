#include "route/acl_trial.h"

#include <string.h>

#include "base/status.h"
#include "mqtt/topic.h"
#include "route/acl.h"

int
nmq_acl_trial_run(const nmq_acl *acl, const nmq_acl_trial *trial, uint32_t *rule)
{
    nmq_peer peer = {.address_len = trial->address_len};
    nmq_acl_subject subject = {.client_id = nmq_bytes_of(trial->client_id), .peer = &peer};
    nmq_filter filter = {.filter = nmq_bytes_of(trial->topic)};
    nmq_acl_search search;

    memcpy(peer.address, trial->address, sizeof peer.address);
    if (trial->user_name != NULL) {
        subject.user_name = nmq_bytes_of(trial->user_name);
    }
    if (trial->publish && !nmq_topic_check(filter.filter)) {
        return NMQ_ETOPIC;
    }
    if (!trial->publish && nmq_filter_parse(filter.filter, &filter) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    uint16_t act = trial->publish ? nmq_acl_publish(trial->qos, trial->retain)
                                  : nmq_acl_subscribe(trial->qos);
    if (acl == NULL) {
        return NMQ_ENOENT;
    }
    int rv = nmq_acl_try(acl, &subject, act, filter.filter, &search);
    if (rv != NMQ_OK || search.best == NMQ_ACL_NO_RULE) {
        return rv != NMQ_OK ? rv : NMQ_ENOENT;
    }
    *rule = search.best;
    return NMQ_OK;
}
