#include "route/acl_group.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"

// Which conditions there are; their kind is a set of them.
enum { CLIENT_ID = 1, USER_NAME = 2, NETWORK = 4, KINDS = 8 };

static int
put_name(nmq_buf *key, nmq_bytes name)
{
    const uint8_t len[2] = {(uint8_t) (name.len >> 8), (uint8_t) name.len};
    int rv = nmq_buf_put(key, (nmq_bytes){len, sizeof len});

    return rv == NMQ_OK ? nmq_buf_put(key, name) : rv;
}

// Puts the network without the bits that do not count.
static int
put_network(nmq_buf *key, const nmq_network *network)
{
    uint8_t text[2 + sizeof network->address] = {network->address_len,
                                                 network->prefix_bits};
    uint8_t whole = network->prefix_bits / 8;
    uint8_t rest = network->prefix_bits % 8;

    memcpy(text + 2, network->address, whole);
    if (rest > 0) {
        text[2 + whole] = (uint8_t) (network->address[whole] & (0xff00u >> rest));
    }
    return nmq_buf_put(key, (nmq_bytes){text, sizeof text});
}

static int
put_key(nmq_buf *key, uint8_t kind, const nmq_acl_conditions *c)
{
    int rv = nmq_buf_put(key, (nmq_bytes){&kind, 1});

    if (rv == NMQ_OK && (kind & CLIENT_ID) != 0) {
        rv = put_name(key, c->client_id);
    }
    if (rv == NMQ_OK && (kind & USER_NAME) != 0) {
        rv = put_name(key, c->user_name);
    }
    if (rv == NMQ_OK && (kind & NETWORK) != 0) {
        rv = put_network(key, &c->network);
    }
    return rv;
}

// --- making

static void
note_prefix(nmq_acl *acl, const nmq_network *network)
{
    const nmq_acl_prefix prefix = {network->address_len, network->prefix_bits};
    uint8_t i = 0;

    while (i < acl->prefix_count &&
           memcmp(&acl->prefixes[i], &prefix, sizeof prefix) != 0) {
        i++;
    }
    if (i == acl->prefix_count) {
        acl->prefixes[acl->prefix_count++] = prefix;
    }
}

static uint8_t
kind_of(const nmq_acl_conditions *asked)
{
    return (uint8_t) ((asked->client_id.at != NULL ? CLIENT_ID : 0) |
                      (asked->user_name.at != NULL ? USER_NAME : 0) |
                      (asked->network.address_len > 0 ? NETWORK : 0));
}

static void
group_free(nmq_acl_group *group)
{
    nmq_acl_tree_fini(&group->root);
    if (group->literal != NULL) {
        nmq_acl_tree_fini(group->literal);
        nmq_free(group->literal);
    }
    nmq_bytes_free(&group->key);
    nmq_free(group);
}

static nmq_acl_group *
add_group(nmq_acl *acl, nmq_bytes key)
{
    nmq_acl_group *group = nmq_zalloc(sizeof *group);

    if (group == NULL) {
        return NULL;
    }
    if (nmq_bytes_copy(key, &group->key) != NMQ_OK ||
        nmq_map_put(&acl->groups, group->key, group) != NMQ_OK) {
        group_free(group);
        return NULL;
    }
    return group;
}

nmq_acl_group *
nmq_acl_group_for(nmq_acl *acl, const nmq_acl_conditions *asked)
{
    const uint8_t kind = kind_of(asked);
    nmq_buf key = {0};
    nmq_acl_group *group = NULL;

    acl->kinds |= (uint8_t) (1u << kind);
    if ((kind & NETWORK) != 0) {
        note_prefix(acl, &asked->network);
    }
    if (put_key(&key, kind, asked) == NMQ_OK) {
        group = nmq_map_get(&acl->groups, (nmq_bytes){key.at, key.len});
        group = group != NULL ? group : add_group(acl, (nmq_bytes){key.at, key.len});
    }
    nmq_buf_free(&key);
    return group;
}

void
nmq_acl_groups_free(nmq_acl *acl)
{
    for (size_t i = 0; i < acl->groups.cap; i++) {
        if (acl->groups.slots[i].value != NULL) {
            group_free(acl->groups.slots[i].value);
        }
    }
    nmq_map_free(&acl->groups);
}

// --- finding

typedef struct {
    const nmq_acl *acl;
    uint8_t kind;
    nmq_acl_conditions c;
    nmq_buf key;
    nmq_acl_group_fn *fn;
    void *arg;
} search;

static int
look_up(search *s)
{
    s->key.len = 0;
    int rv = put_key(&s->key, s->kind, &s->c);

    if (rv != NMQ_OK) {
        return rv;
    }
    const nmq_acl_group *group =
        nmq_map_get(&s->acl->groups, (nmq_bytes){s->key.at, s->key.len});
    return group != NULL ? s->fn(s->arg, group) : NMQ_OK;
}

static int
look_up_networks(search *s, const nmq_peer *peer)
{
    int rv = NMQ_OK;

    memcpy(s->c.network.address, peer->address, sizeof peer->address);
    for (uint8_t i = 0; i < s->acl->prefix_count && rv == NMQ_OK; i++) {
        const nmq_acl_prefix *prefix = &s->acl->prefixes[i];
        if (prefix->address_len == peer->address_len) {
            s->c.network.address_len = prefix->address_len;
            s->c.network.prefix_bits = prefix->prefix_bits;
            rv = look_up(s);
        }
    }
    return rv;
}

int
nmq_acl_groups_find(const nmq_acl *acl, const nmq_acl_subject *subject,
                    nmq_acl_group_fn *fn, void *arg)
{
    search s = {
        .acl = acl,
        .c = {.client_id = subject->client_id, .user_name = subject->user_name},
        .fn = fn,
        .arg = arg,
    };
    int rv = NMQ_OK;

    for (uint8_t kind = 0; kind < KINDS && rv == NMQ_OK; kind++) {
        s.kind = kind;
        if ((acl->kinds & 1u << kind) != 0) {
            rv = (kind & NETWORK) != 0 ? look_up_networks(&s, subject->peer) : look_up(&s);
        }
    }
    nmq_buf_free(&s.key);
    return rv;
}
