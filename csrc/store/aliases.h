// aliases.h - Topic Aliases that the broker sets on one Network Connection.
//
//     alias = 1 + hash(topic) % max        a topic holds its slot by credit: each use earns
//                                          some, each message of another topic costs some
//
// A name of two bytes or less is never given one: the alias would be longer.
//
// Threads  none of its own: the connection's lock.
// Source   MQTT 5.0, 3.3.2.3.4 Topic Alias.
#pragma once
#include "base/bytes.h"

typedef struct {
    nmq_bytes topic_name; // owned; at NULL: free
    uint8_t credit;
} nmq_alias_slot;

// A zeroed one sets no aliases.
typedef struct {
    nmq_alias_slot *slots; // made when first needed
    uint16_t max;
} nmq_aliases;

// Forgets all and allows up to `max`, as a new connection does [MQTT-3.3.2-7].
void nmq_aliases_reset(nmq_aliases *aliases, uint16_t max);

// Returns the alias of the topic, or 0 for none. *known tells that the receiver has it, and
// the name need not be sent; otherwise nmq_aliases_learn is to follow once it was.
uint16_t nmq_aliases_find(nmq_aliases *aliases, nmq_bytes topic_name, bool *known);

// The receiver has been sent the name with the alias. Returns NMQ_OK, or NMQ_ENOMEM, which
// only costs sending it again.
int nmq_aliases_learn(nmq_aliases *aliases, uint16_t alias, nmq_bytes topic_name);
