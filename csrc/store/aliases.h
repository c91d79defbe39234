// aliases.h - the Topic Aliases of one Network Connection, both ways.
//
//     nmq_aliases       that the broker sets: name -> alias, and what the receiver knows
//     nmq_alias_names   that the client sets: alias -> name
//
//     alias = 1, 2, 3 ... max, in the order of first use
//
// When all are given, a name takes the place of another whose credit is used up. A name
// earns credit when it is used, and pays some when a name without an alias wants its place.
//
// A name of two bytes or less is never given an alias: the alias would be longer. Once all
// names together are NMQ_ALIASES_NAMES_BYTES long, others only take places.
//
// Memory   for the aliases that were set, whatever the maximum is.
// Threads  none of its own: the connection's lock.
// Cost     constant, except to grow; names are found by a hash that peers cannot foresee.
// Source   MQTT 5.0, 3.3.2.3.4 Topic Alias.
#pragma once
#include "base/bytes.h"

enum { NMQ_ALIASES_NAMES_BYTES = 1 << 18 };

typedef struct nmq_alias_table nmq_alias_table;

// A zeroed one sets no aliases.
typedef struct {
    nmq_alias_table *table; // made when first needed
    uint16_t max;
} nmq_aliases;

// Forgets all and allows up to `max`, as a new connection does [MQTT-3.3.2-7].
void nmq_aliases_reset(nmq_aliases *aliases, uint16_t max);

// Returns the alias of the topic, or 0 for none. With *known the receiver has it, and the
// name need not be sent; without, call nmq_aliases_learn once the name was sent.
uint16_t nmq_aliases_find(nmq_aliases *aliases, nmq_bytes topic_name, bool *known);

// The receiver has been sent the name with the alias. Returns NMQ_OK, or NMQ_ENOMEM: then
// the name is sent again next time.
int nmq_aliases_learn(nmq_aliases *aliases, uint16_t alias, nmq_bytes topic_name);

typedef struct {
    nmq_bytes topic_name; // owned; at NULL: free
    uint16_t alias;
} nmq_alias_name;

// A zeroed one knows none.
typedef struct {
    nmq_alias_name *slots; // open addressing
    uint32_t cap;          // 0 or a power of two
    uint32_t count;
} nmq_alias_names;

// Returns the name, which is borrowed until the next put; at NULL when the alias is not
// set.
nmq_bytes nmq_alias_names_get(const nmq_alias_names *names, uint16_t alias);

// Sets the alias, or replaces its name. Returns NMQ_OK, or NMQ_ENOMEM with all as it was.
int nmq_alias_names_put(nmq_alias_names *names, uint16_t alias, nmq_bytes topic_name);

void nmq_alias_names_free(nmq_alias_names *names);
