#include "route/remount_away.h"

#include "base/mem.h"
#include "base/status.h"
#include "route/remount.h"
#include "route/rights.h"

// Returns as nmq_remount.
static int
remount_one(nmq_router *router, nmq_client *client, uint32_t listener_key,
            nmq_mount_make *make, void *arg)
{
    nmq_buf mount = {0};
    int rv = make(arg, client->session->client_id, client->user_name, &mount);

    (void) pthread_mutex_lock(&client->moving);
    if (rv == NMQ_OK) {
        rv = nmq_remount(router, client, listener_key, (nmq_bytes){mount.at, mount.len},
                         false);
    }
    nmq_buf_free(&mount);
    if (rv == 1) {
        int judged = nmq_rights_judge(router, client);
        rv = judged < 0 ? judged : 1;
    }
    (void) pthread_mutex_unlock(&client->moving);
    return rv == NMQ_ETOPIC ? 0 : rv;
}

int
nmq_remount_away(nmq_sessions *sessions, uint32_t listener_key, nmq_mount_make *make,
                 void *arg)
{
    nmq_client **all;
    int count = nmq_registry_all(&sessions->registry, &all);
    int moved = 0;

    for (int i = 0; i < count; i++) {
        if (moved >= 0 && !nmq_sessions_stop(sessions)) {
            int rv = remount_one(sessions->router, all[i], listener_key, make, arg);
            moved = rv < 0 ? rv : moved + rv;
        }
        nmq_client_unref(all[i]);
    }
    if (count >= 0) {
        nmq_free(all);
    }
    return count < 0 ? count : moved;
}
