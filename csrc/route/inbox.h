// inbox.h - the link of a consumer that is open: who publishes to it waits for it as for
// any slow subscriber, and its reader is told when something has come.
//
//     deliver ──> queue of the session ──tell──> descriptor ──> Python takes (consumer.h)
//
// Owner    counted through its link; its client holds a reference while it is open.
// Threads  each field names its lock.
#pragma once
#include "route/client.h"

typedef struct {
    nmq_link link;      // first
    const void *owner;  // of whoever made it, for its link's ops
    nmq_client *client; // link's lock: whose it is; NULL: closed
    int fd;             // readable when there is something for a reader who has waited
    bool is_awaited;    // its client's lock: the reader has found nothing
} nmq_inbox;

// Makes the inbox of that client with one reference to its link. ops: of the link; `free`
// calls nmq_inbox_free. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EFILES.
int nmq_inbox_new(const nmq_link_ops *ops, const void *owner, nmq_client *client,
                  nmq_inbox **out);
void nmq_inbox_free(nmq_inbox *inbox);

// The inbox with that link.
static inline nmq_inbox *
nmq_inbox_of(nmq_link *link)
{
    return (nmq_inbox *) (void *) link; // the link is first
}

// Whether the queue may go over its bounds for a moment, by 65,536 messages and to twice
// the bytes: those who publish are about to wait. Call with the client's lock.
bool nmq_inbox_may_gather(nmq_inbox *inbox, const nmq_session *session);

// Notes how much waits: publishers wait from half of the session's bounds on. Call with the
// client's and the link's lock.
void nmq_inbox_weigh(nmq_inbox *inbox, const nmq_session *session);

// Makes the descriptor readable, if its reader has found nothing since. Call with the
// client's lock.
void nmq_inbox_tell(nmq_inbox *inbox);
