// attach.h - a CONNECT that was let in: a session begins, is taken up again, or is taken
// over from another connection.
//
//     CONNECT ──> judged ──> session found or made ──> CONNACK ──> what it is owed
//                                └── the journal is to have it first: held.h
//
// Threads  thread-safe; call without a lane, a client's or a link's lock.
#pragma once
#include "route/sessions.h"

// A CONNECT that was let in. Slices are borrowed.
typedef struct {
    nmq_bytes client_id;
    nmq_bytes user_name;
    nmq_link *link;
    const nmq_peer *peer;
    nmq_bytes mount;         // of its listener, for this client
    nmq_acl_view *rights;    // NULL: everything is allowed
    uint64_t rights_version; // of the rules that they are from
    uint32_t listener;       // its number
    uint32_t listener_key;   // see nmq_listener_options
    uint8_t proof;           // enum nmq_proof
    nmq_will will;           // its reference is taken, whatever is returned
    uint32_t expiry_interval_s;
    uint32_t receive_maximum;
    uint32_t packet_max;      // of the client
    uint16_t topic_alias_max; // that we may set
    uint16_t keep_alive_s;
    uint8_t version;
    bool clean_start;
    bool unlogged;  // of its listener; see nmq_listener_options
    nmq_acl *own;   // rules of this client alone; NULL: none
    bool superuser; // access rules do not count; then rights is NULL

    // Writes CONNACK to link->outbox, before anything else can be written there. Called
    // with the link's lock. Returns NMQ_OK or NMQ_ENOMEM.
    int (*accept)(void *arg, bool session_present);
    void *arg;
} nmq_attach;

// Finds or makes the client and gives it the link; a connection that it had is taken over.
// A session belongs to its user. It ends if another user comes with its client identifier,
// or if it had no user name and the new client has one. What the session holds is judged by
// the rights first (rights.h).
// A session that is not logged is logged with all it holds, before CONNACK, when its client
// comes through a listener whose sessions are; one that is logged stays so until it ends.
// *out gets a reference of the caller's. Returns NMQ_OK, NMQ_ENOMEM, NMQ_ETOOBIG for a
// session over the bound of sessions, NMQ_ESHORT for a new one while memory is short, or
// NMQ_ENOSPC or NMQ_ESTORE where it would have to be logged (nmq_journal_may).
int nmq_attach_client(nmq_sessions *sessions, const nmq_attach *attach, nmq_client **out);
