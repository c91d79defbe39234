// retain.h - retained messages: Topic Name -> message, matched by Topic Filter. They belong
// to no session and outlive it [MQTT-3.1.2-7 of 3.1.1].
//
// Owner    the store holds a reference to each message.
// Threads  none of its own: the caller's lock.
// Cost     put: the levels of the name. sweep: see there. A walk: retain_cursor.h.
// Source   MQTT 5.0, 3.3.1.3 RETAIN.
#pragma once
#include "base/places.h"
#include "store/message.h"

typedef struct nmq_retain nmq_retain;

nmq_retain *nmq_retain_new(void); // NULL when memory is out
void nmq_retain_free(nmq_retain *retain);

// Keeps the message in place of the one under its topic [MQTT-3.3.1-5]; an empty payload
// removes it instead and is not kept [MQTT-3.3.1-6] [MQTT-3.3.1-7].
// Takes a reference of its own. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_retain_put(nmq_retain *retain, nmq_message *message);

// When the message under that topic was stored, as a number that grows; 0: there is none.
uint64_t nmq_retain_order(const nmq_retain *retain, nmq_bytes topic_name);

// Gives the message under that topic, if there is one, that number. Those that are stored
// from now on get greater ones.
void nmq_retain_set_order(nmq_retain *retain, nmq_bytes topic_name, uint64_t order);

// The message under that topic, borrowed; NULL: there is none. It may have expired.
nmq_message *nmq_retain_get(const nmq_retain *retain, nmq_bytes topic_name);

// Removes the message under that topic, if there is one. Cost: as put.
void nmq_retain_del(nmq_retain *retain, nmq_bytes topic_name);

// Removes up to `most` messages that have expired, and calls `gone` (NULL: nobody) for each
// before it goes; it must not call back. Returns when the next one does, which may be past;
// 0: none. Cost: logarithmic in the messages that expire, for each removed.
int64_t nmq_retain_sweep(nmq_retain *retain, int64_t now_ms, uint32_t most,
                         void (*gone)(void *arg, const nmq_message *message), void *arg);

// References to messages. A zeroed list is empty.
typedef struct {
    nmq_message **at;
    size_t count;
    uint32_t cap;
} nmq_messages;

// Appends a reference to each live message, also to those that wildcards do not match.
// Returns the count, or NMQ_ENOMEM with nothing handed out.
int nmq_retain_all(nmq_retain *retain, int64_t now_ms, nmq_messages *out);

// Appends a reference. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_messages_put(nmq_messages *messages, nmq_message *message);

void nmq_messages_free(nmq_messages *messages); // unrefs each

// All messages: each has its place until it is removed. Another one under its topic takes
// over the place. nmq_retain_at: the message at a place that is in use, borrowed.
const nmq_places *nmq_retain_places(const nmq_retain *retain);
nmq_message *nmq_retain_at(const nmq_retain *retain, uint32_t place);

size_t nmq_retain_count(const nmq_retain *retain);
uint64_t nmq_retain_bytes(const nmq_retain *retain); // of the messages

// The most messages, and the most bytes of them; 0: no bound.
typedef struct {
    uint32_t count;
    uint64_t bytes;
    bool no_growth; // no more bytes than there are
    bool no_change; // none is put
} nmq_retain_bounds;

// Whether nmq_retain_put would keep the bounds. It always does where it removes a message.
// Unless no_change is set, it also does where the message takes the place of one that is
// not smaller. Cost: as put, where a bound is reached.
bool nmq_retain_fits(const nmq_retain *retain, const nmq_message *message,
                     const nmq_retain_bounds *bounds);
