#include "serve/mount.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "route/remount.h"
#include "route/remount_away.h"

// Appends a name in place of its mark. A name that could leave its level is refused, and so
// is an empty one: all clients without a name would share a place.
static int
put_name(nmq_buf *to, nmq_bytes name)
{
    if (name.len == 0) {
        return NMQ_ETOPIC;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (strchr("/+#", name.at[i]) != NULL) {
            return NMQ_ETOPIC;
        }
    }
    return nmq_buf_put(to, name);
}

// Appends a mount point with these names in place of its marks. Returns as nmq_mount_set.
static int
write_prefix(nmq_buf *to, nmq_bytes mount, nmq_bytes client_id, nmq_bytes user_name)
{
    int rv = NMQ_OK;

    for (size_t i = 0; i < mount.len && rv == NMQ_OK; i++) {
        uint8_t mark = mount.at[i] == '%' && i + 1 < mount.len ? mount.at[i + 1] : 0;
        if (mark == 'c' || mark == 'u') {
            rv = put_name(to, mark == 'c' ? client_id : user_name);
            i++;
        } else {
            rv = nmq_buf_put(to, (nmq_bytes){mount.at + i, 1});
        }
    }
    // "$share" and "$SYS" mean something else than a place.
    return rv == NMQ_OK && nmq_topic_is_hidden((nmq_bytes){to->at, to->len}) ? NMQ_ETOPIC
                                                                             : rv;
}

void
nmq_mount_free(nmq_server_conn *conn)
{
    if (conn->mount != NULL) {
        nmq_buf_free(&conn->mount->prefix);
        nmq_buf_free(&conn->mount->text);
        nmq_free(conn->mount);
        conn->mount = NULL;
    }
}

int
nmq_mount_set(nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    nmq_bytes mount = conn->net.settings->mount;

    nmq_mount_free(conn); // of a CONNECT that is handled again
    if (mount.at == NULL) {
        return NMQ_OK;
    }
    conn->mount = nmq_zalloc(sizeof *conn->mount);
    return conn->mount != NULL
               ? write_prefix(&conn->mount->prefix, mount, client_id, user_name)
               : NMQ_ENOMEM;
}

void
nmq_mount_leave(nmq_server_conn *conn)
{
    nmq_listener_settings *now = nmq_listener_now(conn->net.listener);
    nmq_bytes id = conn->net.client->session->client_id;
    nmq_client *kept = NULL;
    nmq_buf prefix = {0};

    if (!nmq_bytes_equal(now->mount, conn->net.settings->mount)) {
        kept = nmq_registry_find(&conn->net.conns->sessions->registry, id);
    }
    if (kept == conn->net.client &&
        write_prefix(&prefix, now->mount, id, kept->user_name) == NMQ_OK) {
        (void) pthread_mutex_lock(&kept->moving);
        // when memory is out it moves when its client comes back
        (void) nmq_remount(conn->net.conns->router, kept, conn->net.listener->key,
                           (nmq_bytes){prefix.at, prefix.len}, false);
        (void) pthread_mutex_unlock(&kept->moving);
    }
    nmq_buf_free(&prefix);
    nmq_client_unref(kept);
    nmq_listener_settings_unref(now);
}

nmq_bytes
nmq_mount_prefix(const nmq_server_conn *conn)
{
    return conn->mount != NULL
               ? (nmq_bytes){conn->mount->prefix.at, conn->mount->prefix.len}
               : (nmq_bytes){0};
}

// Puts the prefix into the topic, behind its first `head` bytes.
static int
mounted(nmq_server_conn *conn, nmq_bytes topic, size_t head, nmq_bytes *out)
{
    *out = topic;
    if (conn->mount == NULL) {
        return NMQ_OK;
    }
    nmq_buf *text = &conn->mount->text;
    text->len = 0;
    int rv = nmq_topic_mount(nmq_mount_prefix(conn), topic, head, text);
    if (rv == NMQ_OK) {
        *out = (nmq_bytes){text->at, text->len};
    }
    return rv;
}

int
nmq_mount_topic(nmq_server_conn *conn, nmq_bytes topic_name, nmq_bytes *out)
{
    return mounted(conn, topic_name, 0, out);
}

int
nmq_mount_filter(nmq_server_conn *conn, const nmq_filter *filter, nmq_filter *out)
{
    const nmq_filter in = *filter;
    size_t before = (size_t) (in.filter.at - in.text.at); // "$share/GROUP/"
    nmq_bytes text;
    int rv = mounted(conn, in.text, before, &text);

    if (rv == NMQ_OK) {
        *out = nmq_filter_join(text, in.group.len);
    }
    return rv;
}

static int
write_mount(void *arg, nmq_bytes client_id, nmq_bytes user_name, nmq_buf *out)
{
    const nmq_listener_settings *settings = arg;

    return write_prefix(out, settings->mount, client_id, user_name);
}

int
nmq_mount_move_all(nmq_sessions *sessions, nmq_listener *listener)
{
    nmq_listener_settings *settings = nmq_listener_now(listener);
    int rv = nmq_remount_away(sessions, listener->key, write_mount, settings);

    nmq_listener_settings_unref(settings);
    return rv;
}
