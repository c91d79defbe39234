// remount.h - a session moves along with the mount point of its listener.
//
//     mount point "old/" becomes "new/":   old/a/b        ──> new/a/b
//                                          $share/g/old/# ──> $share/g/new/#
//
// Its subscriptions, its will, and what waits for it or is in flight go below the new mount
// point, where its client finds them under the names that it gave them. What lay outside of
// point, where its client finds them under the names that it gave them. What lay outside of
// the old one stays where it is, for rights.h to judge. Subscriptions move even when a
// bound was lowered or memory is short. Retained messages that were still to come are not
// sent: below the new mount point there are others.
//
// Threads  thread-safe; call without a lane or lock.
// Cost     a change of the tree for each subscription; the messages are copied with the
//          client's lock.
#pragma once
#include "route/client.h"
#include "route/router.h"

// Moves the session of a client to that mount point, if it came through the listener of
// that key (nmq_listener_options), and is away or is just connecting there again
// (`attaches`). Call with client->moving. Returns 1 when it was moved, 0 when there was
// nothing to do, or NMQ_ENOMEM with some of it left behind.
int nmq_remount(nmq_router *router, nmq_client *client, uint32_t listener_key,
                nmq_bytes mount, bool attaches);
