#include "route/acl_trial.h"

#include "base/status.h"
#include "route/acl_tried.h"

int
nmq_acl_trial_run(const nmq_acl *acl, const nmq_acl_trial *trial, uint32_t *rule)
{
    nmq_acl_search search;
    nmq_acl_tried tried;
    int rv = nmq_acl_tried_read(trial, &tried);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (acl == NULL) {
        return NMQ_ENOENT;
    }
    tried.subject.peer = &tried.peer;
    rv = nmq_acl_try(acl, &tried.subject, tried.act, tried.topic, &search);
    if (rv != NMQ_OK || search.best == NMQ_ACL_NO_RULE) {
        return rv != NMQ_OK ? rv : NMQ_ENOENT;
    }
    *rule = search.best;
    return NMQ_OK;
}
