// consumer.h - the consumers (consume.h): each a client with a session, and an inbox while
// it is open; one that was restored has it until it is opened, so that publishers wait.
//
// The clients of bridges (bridge/bridges.h) are in the same list: they are kept, saved and
// told again as those of consumers. They have no inbox, and their link is a connection.
//
// Owner    the list holds a reference to the client of each.
// Threads  each field names its lock. Locks: the list's, then a client's.
#pragma once
#include "route/inbox.h"
#include "route/sessions.h"

typedef struct nmq_consumers nmq_consumers;

typedef struct nmq_consumer {
    struct nmq_consumer *next; // the list's lock
    uint64_t place;            // fixed: the list has the highest first
    nmq_client *client;        // a reference; its link is that of the inbox
    uint32_t taken;            // client's lock: at the front of the queue, handed out
    uint32_t again;            // client's lock: at the front, handed out before
    bool expected;             // client's lock: it has an inbox, and nobody has opened it
} nmq_consumer;

struct nmq_consumers {
    nmq_sessions *sessions;
    pthread_mutex_t lock;
    nmq_consumer *first; // lock
    uint64_t last_place; // lock
};

void nmq_consumers_init(nmq_consumers *consumers, nmq_sessions *sessions);

// Nobody publishes any more, and the clock still runs.
void nmq_consumers_fini(nmq_consumers *consumers);

// The consumer, or client of a bridge, of that name, or NULL. Call with the list's lock.
nmq_consumer *nmq_consumers_find(const nmq_consumers *consumers, nmq_bytes name);

// Adds a closed consumer, whose client's reference it takes. Call with the list's lock.
// Returns NULL when memory is out.
nmq_consumer *nmq_consumers_add(nmq_consumers *consumers, nmq_client *client);

// Takes it out of the list, and frees it; its client, with the reference, is the caller's.
// Call with the list's lock.
nmq_client *nmq_consumers_remove(nmq_consumers *consumers, nmq_consumer *consumer);

// Returns an open consumer, with the list's and its client's lock until
// nmq_consumers_leave; NULL, with none: there is none of that number.
nmq_consumer *nmq_consumers_enter(nmq_consumers *consumers, uint64_t number);
void nmq_consumers_leave(nmq_consumers *consumers, nmq_consumer *consumer);

// How long publishers wait for one.
nmq_patience nmq_consumers_patience(const nmq_consumers *consumers);

// Gives the client of one its bounds; the journal is told what there is. Returns NMQ_OK or
// NMQ_ENOMEM.
int nmq_consumers_set_bounds(const nmq_consumers *consumers, nmq_client *client,
                             uint32_t queue_max, uint64_t queue_max_bytes);

// Whether a program has it. Call with its client's lock.
static inline bool
nmq_consumer_is_open(const nmq_consumer *consumer)
{
    return consumer->client->link != NULL && !consumer->expected;
}

// Gives it a link, unless it is expected and has one, and says so to whoever publishes.
// Returns NMQ_OK, NMQ_ENOMEM or NMQ_EFILES; *fd is that of its inbox. Call with the list's
// lock.
int nmq_consumers_attach(nmq_consumers *consumers, nmq_consumer *consumer,
                         uint32_t patience_ms, int32_t *fd);

// What was taken comes again. Call with its client's lock.
void nmq_consumer_rewind(nmq_consumer *consumer);

// Takes its link off, which nmq_consumers_end_link is to get. Call with its client's lock.
nmq_link *nmq_consumer_detach(nmq_consumer *consumer);

// Nobody waits for it any more. Call without a lock.
void nmq_consumers_end_link(nmq_consumers *consumers, nmq_link *link);

// Adds a consumer that the process before had; takes the client's reference. Until it is
// opened publishers wait for it, as long as that takes usually. `taken` messages of its
// queue were handed out there. Returns NMQ_OK, or NMQ_EINVAL or NMQ_ENOMEM with the client
// still the caller's.
int nmq_consumers_restore(nmq_consumers *consumers, nmq_client *client, uint32_t taken);

// Calls `each` for every consumer, with the tree frozen and its client's lock, and how many
// messages at the front of its queue were handed out.
void nmq_consumers_each(nmq_consumers *consumers,
                        void (*each)(void *arg, const nmq_client *client, uint32_t taken),
                        void *arg);
