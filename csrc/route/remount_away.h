// remount_away.h - the mount point of a listener has changed: the sessions that came
// through it and whose clients are away move along (remount.h), and are judged.
//
// Threads  thread-safe; call without a lane or lock.
// Cost     all clients, one after the other; no lock is held for more than one.
#pragma once
#include "base/bytes.h"
#include "route/sessions.h"

// Makes the mount point of one client. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOPIC where
// there is none for those names.
typedef int nmq_mount_make(void *arg, nmq_bytes client_id, nmq_bytes user_name,
                           nmq_buf *out);

// Moves the sessions that came through the listener of that key and are away, one after
// the other, and judges them. Returns how many were moved, or NMQ_ENOMEM with the rest left
// for their next connection.
int nmq_remount_away(nmq_sessions *sessions, uint32_t listener_key, nmq_mount_make *make,
                     void *arg);
