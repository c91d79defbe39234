// origin.h - who sent a message. It is kept with retained messages, so that later access
// rules judge them as if they were published then, and for No Local; and with all others
// while somebody asks who publishes.
//
//     connection ──makes once──> origin <──references── its messages
//
// Owner    counted; nmq_origin_unref frees with the last reference.
// Threads  ref and unref are thread-safe; everything else is fixed at birth.
#pragma once
#include "base/bytes.h"
#include "base/peer.h"

typedef struct {
    uint32_t refs;
    uint32_t mount_len;    // of the mount point that its topics begin with
    uint32_t listener_key; // which of the configuration it came through; 0: not known
    uint64_t logged;       // the journal's lock: its number there; 0: it has none
    uint16_t client_id_len;
    uint16_t user_name_len;
    bool has_user_name;
    bool superuser; // access rules did not count, or rules of the client alone allowed it;
                    // false, unless its maker sets it
    nmq_peer peer;
    uint8_t bytes[]; // client identifier, user name
} nmq_origin;

// Copies. user_name.at NULL: none; listener_key: see above. Returns an origin with one
// reference, or NULL when memory is out.
nmq_origin *nmq_origin_new(nmq_bytes client_id, nmq_bytes user_name, const nmq_peer *peer,
                           size_t mount_len, uint32_t listener_key);
nmq_origin *nmq_origin_ref(nmq_origin *origin); // takes NULL
void nmq_origin_unref(nmq_origin *origin);      // takes NULL

// Borrowed from the origin.
nmq_bytes nmq_origin_client_id(const nmq_origin *origin);
nmq_bytes nmq_origin_user_name(const nmq_origin *origin); // at NULL: none
