// replay.h - retained messages on their way to those who subscribe.
//
//     SUBSCRIBE ──begin──> a few messages, and the session notes a cursor for the others
//                                                    │
//            outbox <── pump, while there is room <──┘
//
// A session holds a cursor for each filter that it is owed messages for, not the messages.
// They go out as the outbox drains and the window allows, in steps so short that nobody is
// kept waiting.
//
// Threads  thread-safe. Locks: a client's, then a link's, then the store's.
// Source   MQTT 5.0, 3.3.1.3 RETAIN.
#pragma once
#include "route/batch.h"
#include "route/client.h"

// Sends a few of the retained messages of a filter that the client has subscribed to, and
// notes that it is owed the others [MQTT-3.3.1-9]. is_new is what nmq_subscriptions_put
// returned. *visits is how many nodes may be visited at once, and goes down. The batch
// needs no lane. Call without a lock.
enum { NMQ_REPLAY_VISITS = 1 << 12 }; // for one packet
void nmq_replay_begin(nmq_batch *batch, nmq_client *client, const nmq_filter *filter,
                      uint8_t options, uint32_t identifier, bool is_new, uint32_t *visits);

// Where a session was among the retained messages of a filter, in the process before.
typedef struct {
    nmq_bytes filter;
    nmq_bytes topic_name; // of the message that comes next
    uint64_t order;       // see nmq_retain_open_at
    uint32_t queued;      // messages of its queue that come before
    uint32_t identifier;
    uint8_t options;
} nmq_replay_place;

// Notes that the client, which has that subscription, is owed the rest. Returns NMQ_OK,
// NMQ_ENOMEM, or NMQ_EINVAL for a filter that it is owed messages of already. Call without
// a lock.
int nmq_replay_go_on(nmq_retained *retained, nmq_client *client,
                     const nmq_replay_place *place);

// It has been at the message of that topic; at NULL: it is owed no more. Returns NMQ_OK or
// NMQ_ENOMEM. While nobody else has the client.
int nmq_replay_move(nmq_retained *retained, nmq_client *client, nmq_bytes filter,
                    nmq_bytes topic_name);

// The client has unsubscribed. Call without a lock.
void nmq_replay_cancel(nmq_retained *retained, nmq_client *client, nmq_bytes filter);

// The client's session ends. Call without a lock.
void nmq_replay_forget(nmq_retained *retained, nmq_client *client);

// Sends what the client is owed, as far as window and outbox allow, after what waits in
// its queue. Call with its lock and the link's; the batch needs no lane. Returns whether it
// stopped only to let others have their turn: then it is to be called again soon.
bool nmq_replay_pump(nmq_batch *batch, nmq_client *client, nmq_link *link);

// Takes up to `most` of the retained messages that the client is owed, for one who reads
// them itself: the caller unrefs each. *options gets those of the subscription that they
// are for. Call with its lock. Returns how many; 0: it is owed none.
uint32_t nmq_replay_take(nmq_retained *retained, nmq_client *client, int64_t now_ms,
                         nmq_message **out, uint32_t most, uint8_t *options);
