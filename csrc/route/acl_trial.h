// acl_trial.h - which access rule decides for a client that need not be there. cffi reads
// this file: no macros here.
//
//     client "pump", no user, publishes "a/b" at QoS 1 ──> rule 7
//
// Threads  any.
#pragma once
#include "route/acl_ruling.h"

// acl NULL: there are no rules. Sets *rule to the number of the rule that decides. Returns
// NMQ_OK, NMQ_ENOENT: none does, NMQ_ETOPIC or NMQ_EFILTER: it is no Topic Name or Topic
// Filter, or NMQ_ENOMEM.
int nmq_acl_trial_run(const nmq_acl *acl, const nmq_acl_trial *trial, uint32_t *rule);
