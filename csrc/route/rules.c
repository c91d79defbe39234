#include "route/rules.h"

#include "mqtt/topic.h"

void
nmq_rules_init(nmq_rules *rules)
{
    *rules = (nmq_rules){0};
    (void) pthread_mutex_init(&rules->lock, NULL);
}

void
nmq_rules_fini(nmq_rules *rules)
{
    nmq_acl_unref(rules->acl);
    (void) pthread_mutex_destroy(&rules->lock);
}

void
nmq_rules_set(nmq_rules *rules, nmq_acl *acl)
{
    (void) pthread_mutex_lock(&rules->lock);
    nmq_acl *old = rules->acl;
    rules->acl = acl;
    (void) __atomic_add_fetch(&rules->version, 1, __ATOMIC_RELEASE);
    (void) pthread_mutex_unlock(&rules->lock);
    nmq_acl_unref(old);
}

nmq_acl *
nmq_rules_get(nmq_rules *rules, uint64_t *version)
{
    (void) pthread_mutex_lock(&rules->lock);
    nmq_acl *acl = nmq_acl_ref(rules->acl);
    *version = __atomic_load_n(&rules->version, __ATOMIC_RELAXED);
    (void) pthread_mutex_unlock(&rules->lock);
    return acl;
}

void
nmq_rules_end_users(nmq_rules *rules, bool foreign)
{
    uint64_t now = __atomic_add_fetch(&rules->users_version, 1, __ATOMIC_ACQ_REL);

    if (foreign) {
        __atomic_store_n(&rules->foreign_version, now, __ATOMIC_RELEASE);
    }
}

bool
nmq_rules_may_publish(nmq_rules *rules, const nmq_acl_subject *subject, nmq_bytes mount,
                      uint16_t act, nmq_bytes topic, uint64_t *version)
{
    nmq_acl *acl = nmq_rules_get(rules, version);
    bool free_for_all = acl == NULL && subject->own == NULL;
    bool allowed = free_for_all || (nmq_topic_unmount(mount, &topic) &&
                                    nmq_acl_permits(acl, subject, act, topic));

    nmq_acl_unref(acl);
    return allowed;
}

bool
nmq_rules_allow_retained(nmq_rules *rules, nmq_message *message)
{
    const nmq_origin *origin = message->origin;
    uint64_t version = nmq_rules_version(rules);
    uint32_t judged = __atomic_load_n(&message->judged, __ATOMIC_RELAXED);

    if (origin == NULL) {
        return true;
    }
    if (judged >> 1 == ((uint32_t) (version + 1) << 1) >> 1) {
        return (judged & 1) != 0;
    }
    const nmq_acl_subject subject = {nmq_origin_client_id(origin),
                                     nmq_origin_user_name(origin), &origin->peer,
                                     origin->superuser, NULL};
    nmq_bytes topic = nmq_message_topic(message);
    nmq_bytes mount = {topic.at, origin->mount_len};
    bool allowed = nmq_rules_may_publish(
        rules, &subject, mount, nmq_acl_publish(message->qos, true), topic, &version);
    __atomic_store_n(&message->judged, (uint32_t) (version + 1) << 1 | allowed,
                     __ATOMIC_RELAXED);
    return allowed;
}
