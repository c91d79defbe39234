#include "route/may.h"

#include "base/status.h"
#include "mqtt/topic.h"
#include "route/acl_tried.h"

// Judges a client as it is. Call with its lock.
static int
judge(const nmq_client *client, const nmq_acl *acl, nmq_acl_tried *tried, bool mounted,
      nmq_acl_ruling *out, size_t *mount_len)
{
    const nmq_acl_subject subject = {client->session->client_id, client->user_name,
                                     &client->peer, client->superuser, client->own};
    const nmq_bytes mount = mounted ? client->session->mount : (nmq_bytes){0};

    if (!nmq_topic_unmount(mount, &tried->topic)) {
        return NMQ_EACCESS;
    }
    *mount_len = mount.len;
    return nmq_acl_tried_rule(acl, &subject, tried, out);
}

int
nmq_may(nmq_sessions *sessions, const nmq_acl_trial *trial, bool mounted,
        nmq_acl_ruling *out, size_t *mount_len)
{
    nmq_client *client = NULL;
    nmq_acl_tried tried;
    uint64_t version;
    int rv = nmq_acl_tried_read(trial, &tried);

    if (rv != NMQ_OK) {
        return rv;
    }
    tried.subject.peer = &tried.peer;
    if (trial->user_name == NULL && trial->address_len == 0) {
        client = nmq_registry_find(&sessions->registry, tried.subject.client_id);
    }
    nmq_acl *acl = nmq_rules_get(sessions->router->rules, &version);
    *mount_len = 0;
    if (client != NULL) {
        (void) pthread_mutex_lock(&client->lock);
        rv = judge(client, acl, &tried, mounted, out, mount_len);
        (void) pthread_mutex_unlock(&client->lock);
    } else {
        rv = nmq_acl_tried_rule(acl, &tried.subject, &tried, out);
    }
    nmq_acl_unref(acl);
    nmq_client_unref(client);
    return rv;
}
