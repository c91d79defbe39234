// inflight.h - packet identifiers in use, both ways.
//
// nmq_inflight   messages sent at QoS 1 and 2 and not yet acknowledged, by packet_id
// nmq_id_set     packet identifiers received at QoS 2 and not yet released
//
//     id 517, table of 256  ->  slot 517 & 255
//
// Identifiers are drawn in turn, and one whose slot is taken is passed over, so that no
// look-up searches. An identifier that comes from elsewhere, by put or from a client, may
// find its slot taken; it then lies behind it.
//
// Memory   for as many as there are, whatever their identifiers; a set that has become
//          empty keeps up to 512 bytes.
// Threads  none of its own: the session's lock.
// Cost     take, find, give: constant. For entries that were put, and for a set: constant
//          where identifiers were drawn in turn, at worst the run of slots that are taken.
// Source   MQTT 5.0, 2.2.1 Packet Identifier, 4.3 Quality of Service, 4.4 redelivery.
#pragma once
#include "store/queue.h"

enum nmq_inflight_state {
    NMQ_INFLIGHT_FREE,
    NMQ_INFLIGHT_PUBACK,  // QoS 1: PUBLISH sent
    NMQ_INFLIGHT_PUBREC,  // QoS 2: PUBLISH sent
    NMQ_INFLIGHT_PUBCOMP, // QoS 2: PUBREL sent
};

typedef struct {
    nmq_delivery delivery; // message NULL once PUBREC has come
    uint64_t order;        // of sending, for redelivery
    uint16_t packet_id;
    uint8_t state;
    bool in_quota; // counts against the Receive Maximum of this Network Connection
} nmq_inflight_entry;

// A zeroed one is a valid empty one.
typedef struct {
    nmq_inflight_entry *slots;
    uint32_t cap; // 0 or a power of two
    uint32_t count;
    uint32_t quota_used;
    uint32_t displaced; // entries that lie behind their own slot
    uint64_t bytes;     // of the messages, each in full
    uint64_t next_order;
    uint16_t last_id;
} nmq_inflight;

// Returns a packet identifier that is free, and is drawn next after all others: for a
// packet of another kind. Fewer than 65,535 are in use.
uint16_t nmq_inflight_draw(nmq_inflight *inflight);

// Finds a free packet identifier and takes the delivery over under it, in the state that
// its QoS asks for. Returns the entry, or NULL when memory is out or 65,535 are in use.
nmq_inflight_entry *nmq_inflight_take(nmq_inflight *inflight, const nmq_delivery *delivery);

// Takes over an entry of a session that comes from elsewhere, as it is; it does not count
// in the quota. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_EINVAL for an identifier that is in use,
// or a state that does not fit its message.
int nmq_inflight_put(nmq_inflight *inflight, const nmq_inflight_entry *entry);

// Returns the entry of that identifier, or NULL. An entry stays where it is until the next
// take, put or give.
nmq_inflight_entry *nmq_inflight_find(const nmq_inflight *inflight, uint16_t packet_id);

// PUBREC has come: the entry lets go of its message and waits for PUBCOMP.
void nmq_inflight_received(nmq_inflight *inflight, nmq_inflight_entry *entry);

// Puts another message, whose reference it takes, into an entry that has one.
void nmq_inflight_swap(nmq_inflight *inflight, nmq_inflight_entry *entry,
                       nmq_message *message);

// Frees the entry and its identifier.
void nmq_inflight_give(nmq_inflight *inflight, nmq_inflight_entry *entry);

// Writes the identifiers of all entries to *out in the order they were first sent. The
// caller frees *out with nmq_free. Returns their count or NMQ_ENOMEM.
int nmq_inflight_sorted(const nmq_inflight *inflight, uint16_t **out);

void nmq_inflight_free(nmq_inflight *inflight);

// A zeroed set is a valid empty one.
typedef struct {
    uint16_t *slots; // open addressing; 0: free
    uint32_t cap;    // 0 or a power of two, at most 131,072
    uint32_t count;
} nmq_id_set;

bool nmq_id_set_has(const nmq_id_set *set, uint16_t packet_id);

// Adds an identifier that is not there. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_id_set_put(nmq_id_set *set, uint16_t packet_id);

// Returns whether it was there.
bool nmq_id_set_del(nmq_id_set *set, uint16_t packet_id);

void nmq_id_set_free(nmq_id_set *set);
