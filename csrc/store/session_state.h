// session_state.h - what is kept of one client (MQTT 5.0, 4.1); session.h says how it is
// used.
//
// Threads  none of its own: the client's lock; the list of subscriptions has the tree's.
#pragma once
#include "mqtt/topic.h"
#include "store/aliases.h"
#include "store/inflight.h"
#include "store/observer.h"
#include "store/outward.h"
#include "store/owed.h"
#include "store/queue.h"
#include "store/topic_tree.h"

// A subscription as its client sees it. The list is guarded by the tree's lock.
typedef struct {
    nmq_bytes text; // as subscribed, owned
    uint32_t identifier;
    uint32_t place;     // route's: among all subscriptions of clients
    uint16_t group_len; // of GROUP in "$share/GROUP/"; 0: not shared
    uint8_t options;
} nmq_session_sub;

// What a session counts.
typedef struct {
    uint32_t messages[3]; // PUBLISH packets written, those sent again too, by QoS
    uint32_t pubrel;      // PUBREL packets written
    uint32_t expired;     // messages lost in its queue, or in flight
    uint32_t too_large;   // likewise
    uint32_t no_memory;   // likewise
    uint32_t full;        // lost in its queue, where a newer one took the place
} nmq_session_counts;

typedef struct nmq_session {
    nmq_bytes client_id; // owned
    nmq_queue queue;
    nmq_inflight inflight;
    nmq_id_set unreleased; // QoS 2 received, PUBREL awaited
    uint16_t *resend;      // packet identifiers to send again on this connection
    uint32_t resend_at;
    uint32_t resend_count;
    uint16_t receive_maximum;    // of the client, on this connection
    uint16_t window;             // most messages in flight on this connection
    uint32_t queue_max;          // most messages that wait
    uint64_t queue_max_bytes;    // of them; 0: no bound
    nmq_bytes mount;             // mount point: off the client's topics; owned. Not empty
                                 // where there is `outward`, which then counts
    nmq_outward *outward;        // owned; NULL: topics go out as `mount` says
    bool drops_oldest;           // a new message takes the place of the oldest in a full
                                 // queue
    bool resends_as_new;         // what is in flight goes again without DUP: its receiver
                                 // has forgotten the session
    uint32_t client_packet_max;  // Maximum Packet Size of the client, bytes
    uint32_t packet_max;         // largest packet to it: this or the broker's bound
    uint8_t version;             // of the latest connection
    nmq_aliases aliases;         // of this connection
    nmq_session_counts fresh;    // since route/client.h took them last
    nmq_observer *observer;      // not NULL
    const void *owner;           // whose session it is, for the observer
    struct nmq_session_log *log; // session_log.h; owned; NULL: nothing of it is logged
    nmq_session_sub *subs;       // tree lock
    uint32_t sub_count;          // tree lock
    uint32_t sub_cap;            // tree lock
    nmq_map *sub_index;          // tree lock; NULL: the list is short
    nmq_owed *owed;              // retained messages to come; NULL: none
} nmq_session;
