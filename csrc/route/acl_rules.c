#include "route/acl_rules.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/topic.h"
#include "route/acl_group.h"

enum { ALL_QOS = 7, ANY_RETAIN = 3 };

// What the rule is about. HEAR: what it says of every QoS that can be asked for, and where
// it allows, of any of them.
static uint16_t
acts_of(const nmq_acl_rule *rule)
{
    uint8_t qos_set = rule->qos_set != 0 ? rule->qos_set : ALL_QOS;
    uint8_t retain_set = rule->retain_set != 0 ? rule->retain_set : ANY_RETAIN;
    uint16_t acts = 0;

    for (uint8_t qos = 0; qos <= 2; qos++) {
        if ((qos_set & 1u << qos) == 0) {
            continue;
        }
        acts |= rule->publish && (retain_set & 1) != 0 ? nmq_acl_publish(qos, false) : 0;
        acts |= rule->publish && (retain_set & 2) != 0 ? nmq_acl_publish(qos, true) : 0;
        acts |= rule->subscribe ? nmq_acl_subscribe(qos) : 0;
    }
    bool hears = rule->subscribe && (rule->allow || qos_set == ALL_QOS);
    return (uint16_t) (acts | (hears ? NMQ_ACL_HEAR : 0));
}

// Puts a topic that is taken literally. It is about filters, not about the topics that they
// match; who is granted such a filter may hear them.
static int
put_literal(nmq_acl_group *group, nmq_bytes text, nmq_acl_entry entry)
{
    nmq_acl_entry hears = entry;

    hears.acts &= entry.allow ? NMQ_ACL_HEAR : 0;
    entry.acts = (uint16_t) (entry.acts & ~NMQ_ACL_HEAR);
    if (group->literal == NULL) {
        group->literal = nmq_zalloc(sizeof *group->literal);
    }
    if (group->literal == NULL) {
        return NMQ_ENOMEM;
    }
    int rv = nmq_acl_tree_put(group->literal, text,
                              (nmq_acl_reading){.marks = true, .literal = true}, entry);
    return rv == NMQ_OK && hears.acts != 0
               ? nmq_acl_tree_put(&group->root, text, (nmq_acl_reading){.marks = true},
                                  hears)
               : rv;
}

static int
put_topic(nmq_acl *acl, nmq_acl_group *group, const nmq_acl_topic *topic,
          nmq_acl_entry entry)
{
    const nmq_bytes text = nmq_bytes_of(topic->text);
    const nmq_acl_reading reading = {.marks = topic->kind != NMQ_ACL_TOPIC_PLAIN};

    if (!nmq_topic_levels_fit(text, NMQ_ACL_LEVELS_MAX)) {
        return NMQ_ETOOBIG;
    }
    acl->marks_address |= reading.marks && nmq_acl_has_mark(text, 'i');
    return topic->kind == NMQ_ACL_TOPIC_LITERAL
               ? put_literal(group, text, entry)
               : nmq_acl_tree_put(&group->root, text, reading, entry);
}

static nmq_acl_conditions
conditions_of(const nmq_acl_rule *rule)
{
    nmq_acl_conditions c = {
        .network = {.address_len = rule->address_len, .prefix_bits = rule->prefix_bits}};

    if (rule->client_id != NULL) {
        c.client_id = nmq_bytes_of(rule->client_id);
    }
    if (rule->user_name != NULL) {
        c.user_name = nmq_bytes_of(rule->user_name);
    }
    memcpy(c.network.address, rule->address, sizeof rule->address);
    return c;
}

static int
put_rule(nmq_acl *acl, uint32_t number, const nmq_acl_rule *rule)
{
    const nmq_acl_conditions asked = conditions_of(rule);
    nmq_acl_group *group = nmq_acl_group_for(acl, &asked);
    const nmq_acl_entry entry = {number, acts_of(rule), rule->allow};
    int rv = group != NULL ? NMQ_OK : NMQ_ENOMEM;

    for (size_t i = 0; i < rule->topic_count && rv == NMQ_OK; i++) {
        rv = put_topic(acl, group, &rule->topics[i], entry);
    }
    return rv;
}

nmq_acl *
nmq_acl_new(const nmq_acl_rules *rules)
{
    nmq_acl *acl = nmq_zalloc(sizeof *acl);

    if (acl == NULL) {
        return NULL;
    }
    acl->refs = 1;
    acl->asks = rules->asks;
    acl->otherwise = rules->otherwise;
    acl->deny_disconnects = rules->deny_disconnects;
    for (size_t i = 0; i < rules->count; i++) {
        if (put_rule(acl, (uint32_t) i, &rules->at[i]) != NMQ_OK) {
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
    nmq_acl_groups_free(acl);
    nmq_free(acl);
}
