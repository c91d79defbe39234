// rules.h - the access rules in force, and whether a publisher may still publish what is
// kept of it.
//
//     set ──> acl, version + 1      a view or a judgement notes the version that it is from
//
// Owner    the rules hold one reference to their acl.
// Threads  thread-safe; the lock is never held with another.
// Cost     may_publish: a search, and no view is made. allow_retained: mostly one compare.
#pragma once
#include <pthread.h>

#include "route/acl.h"
#include "store/message.h"

typedef struct {
    pthread_mutex_t lock;
    nmq_acl *acl;             // lock; a reference; NULL: everything is allowed
    uint64_t version;         // atomic: counts the changes
    uint64_t users_version;   // atomic: counts how often users were shut out
    uint64_t foreign_version; // atomic: what it came to when those of others were, too
} nmq_rules;

void nmq_rules_init(nmq_rules *rules);
void nmq_rules_fini(nmq_rules *rules);

// Puts the acl in force; takes the reference, NULL: everything is allowed.
void nmq_rules_set(nmq_rules *rules, nmq_acl *acl);

// Returns a reference to the acl in force, or NULL, and its version.
nmq_acl *nmq_rules_get(nmq_rules *rules, uint64_t *version);

// The version in force now; that of the users. Inline: asked for at each packet.
static inline uint64_t
nmq_rules_version(const nmq_rules *rules)
{
    return __atomic_load_n(&rules->version, __ATOMIC_ACQUIRE);
}

static inline uint64_t
nmq_rules_users_version(const nmq_rules *rules)
{
    return __atomic_load_n(&rules->users_version, __ATOMIC_ACQUIRE);
}

static inline uint64_t
nmq_rules_foreign_version(const nmq_rules *rules)
{
    return __atomic_load_n(&rules->foreign_version, __ATOMIC_ACQUIRE);
}

// Users were shut out: a client that asked before has to ask again. foreign: so has one
// whose name a method or an authenticator with users of its own proves.
void nmq_rules_end_users(nmq_rules *rules, bool foreign);

// Whether the subject may publish that (acl_act.h) to the topic, which lies below the mount
// point. *version gets that of the rules that say so.
bool nmq_rules_may_publish(nmq_rules *rules, const nmq_acl_subject *subject,
                           nmq_bytes mount, uint16_t act, nmq_bytes topic,
                           uint64_t *version);

// Whether a retained message may be sent: its publisher may publish it still.
bool nmq_rules_allow_retained(nmq_rules *rules, nmq_message *message);
