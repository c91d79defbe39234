// mount.h - the mount point of a listener: its clients live below a prefix of their own and
// do not see it.
//
//     mount "site/%c/", client "pump"     a/b  <──>  site/pump/a/b
//                                 $share/g/a/#  <──>  $share/g/site/pump/a/#
//
// Threads  the receive side, but for nmq_mount_move_all.
#pragma once
#include "mqtt/topic.h"
#include "serve/server_conn.h"

// Makes the listener's mount point for that client. Returns NMQ_OK, NMQ_ENOMEM, or
// NMQ_ETOPIC for a name in it that is empty or has "/", "+" or "#", or a mount point that
// begins with "$".
int nmq_mount_set(nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name);
void nmq_mount_free(nmq_server_conn *conn);

nmq_bytes nmq_mount_prefix(const nmq_server_conn *conn); // at NULL: none

// The Topic Name, or the filter of a subscription, as the broker knows it; valid until the
// next call. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOPIC when it is too long then.
int nmq_mount_topic(nmq_server_conn *conn, nmq_bytes topic_name, nmq_bytes *out);
int nmq_mount_filter(nmq_server_conn *conn, const nmq_filter *filter, nmq_filter *out);

// Its client has left: a session that stays goes below the mount point that the listener
// has now.
void nmq_mount_leave(nmq_server_conn *conn);

// The mount point of the listener has changed: moves the sessions that came through it and
// are away. Returns what nmq_remount_away does. Any thread.
int nmq_mount_move_all(nmq_sessions *sessions, nmq_listener *listener);
