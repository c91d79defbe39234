#include "route/acl_rules.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "route/acl_entry.h"

static void
rule_fini(nmq_acl_entry *r)
{
    nmq_bytes_free(&r->client_id);
    nmq_bytes_free(&r->user_name);
    for (size_t i = 0; i < r->topic_count; i++) {
        nmq_bytes_free(&r->topics[i]);
    }
    nmq_free(r->topics);
}

static int
copy_text(const char *text, nmq_bytes *out)
{
    return text != NULL ? nmq_bytes_copy(nmq_bytes_of(text), out) : NMQ_OK;
}

static int
rule_init(nmq_acl_entry *r, const nmq_acl_rule *from)
{
    r->allow = from->allow;
    r->actions = (uint8_t) ((from->publish ? NMQ_ACL_PUBLISH : 0) |
                            (from->subscribe ? NMQ_ACL_SUBSCRIBE : 0));
    r->network.address_len = from->address_len;
    r->network.prefix_bits = from->prefix_bits;
    memcpy(r->network.address, from->address, sizeof r->network.address);
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
    acl->asks = rules->asks;
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
