// queue.h - deliveries that wait for a session's window, or for its client to come back.
//
// Owner    each delivery owns a reference to its message and its list of identifiers.
// Threads  none of its own: the session's lock.
// Cost     push, pop: constant.
#pragma once
#include "store/message.h"

// One message on its way to one session.
typedef struct {
    nmq_message *message;
    union {
        uint32_t id;   // subscription_id_count 0 or 1
        uint32_t *ids; // more: owned
    } subscription;
    uint32_t group; // number of the shared group that chose this session, 0: none
    uint32_t subscription_id_count : 28;
    uint32_t phase : 1; // see nmq_session_log
    uint32_t qos : 2;
    uint32_t retain : 1;
} nmq_delivery;

enum { NMQ_DELIVERY_IDS_MAX = (1 << 28) - 1 };

// Subscription Identifiers of the delivery, subscription_id_count of them.
const uint32_t *nmq_delivery_ids(const nmq_delivery *delivery);

void nmq_delivery_fini(nmq_delivery *delivery);

// A zeroed queue is a valid empty one.
typedef struct {
    nmq_delivery *ring;
    uint32_t cap; // 0 or a power of two
    uint32_t head;
    uint32_t count;
    uint32_t qos0_count;
    uint64_t bytes; // of the messages, each in full
} nmq_queue;

// Takes the delivery over. Returns NMQ_OK, or NMQ_ENOMEM with the delivery still the
// caller's. The bound is the caller's to check.
int nmq_queue_push(nmq_queue *queue, const nmq_delivery *delivery);

const nmq_delivery *nmq_queue_front(const nmq_queue *queue); // NULL when empty

// The delivery behind `index` others: index < queue->count.
const nmq_delivery *nmq_queue_at(const nmq_queue *queue, uint32_t index);

// Puts another message, whose reference it takes, into that delivery: index < queue->count.
void nmq_queue_swap(nmq_queue *queue, uint32_t index, nmq_message *message);

// How many at the front have that phase; where no other ones lie before the last of them.
// Cost: logarithmic.
uint32_t nmq_queue_in_phase(const nmq_queue *queue, uint32_t phase);

// Sets the phase of those deliveries at the indices `from` to `to` - 1.
void nmq_queue_set_phase(nmq_queue *queue, uint32_t from, uint32_t to, uint32_t phase);

// No delivery has a QoS above that, of 1 or 2. Cost: linear.
void nmq_queue_lower_qos(nmq_queue *queue, uint8_t most);

// Gives the front to the caller. Returns false when empty.
bool nmq_queue_pop(nmq_queue *queue, nmq_delivery *out);

// Drops those deliveries at the indices `from` to `to` - 1 for which `keep` says false; the
// others stay in their order. Returns how many were dropped. Cost: linear in `to`.
uint32_t nmq_queue_sift(nmq_queue *queue, uint32_t from, uint32_t to,
                        bool (*keep)(void *arg, const nmq_delivery *delivery), void *arg);

void nmq_queue_free(nmq_queue *queue);
