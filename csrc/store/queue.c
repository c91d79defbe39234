#include "store/queue.h"

#include "base/mem.h"
#include "base/status.h"

enum { FIRST_CAP = 8 };

void
nmq_delivery_fini(nmq_delivery *delivery)
{
    nmq_message_unref(delivery->message);
    if (delivery->subscription_id_count > 1) {
        nmq_free(delivery->subscription.ids);
    }
    *delivery = (nmq_delivery){0};
}

const uint32_t *
nmq_delivery_ids(const nmq_delivery *delivery)
{
    return delivery->subscription_id_count > 1 ? delivery->subscription.ids
                                               : &delivery->subscription.id;
}

static int
grow(nmq_queue *queue)
{
    uint32_t cap = queue->cap == 0 ? FIRST_CAP : queue->cap * 2;
    nmq_delivery *ring = nmq_alloc(cap * sizeof *ring);

    if (ring == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < queue->count; i++) {
        ring[i] = queue->ring[(queue->head + i) & (queue->cap - 1)];
    }
    nmq_free(queue->ring);
    queue->ring = ring;
    queue->cap = cap;
    queue->head = 0;
    return NMQ_OK;
}

int
nmq_queue_push(nmq_queue *queue, const nmq_delivery *delivery)
{
    if (queue->count == queue->cap && grow(queue) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    queue->ring[(queue->head + queue->count) & (queue->cap - 1)] = *delivery;
    queue->count++;
    queue->qos0_count += delivery->qos == 0;
    queue->bytes += nmq_message_size(delivery->message);
    return NMQ_OK;
}

const nmq_delivery *
nmq_queue_front(const nmq_queue *queue)
{
    return queue->count > 0 ? &queue->ring[queue->head] : NULL;
}

const nmq_delivery *
nmq_queue_at(const nmq_queue *queue, uint32_t index)
{
    return &queue->ring[(queue->head + index) & (queue->cap - 1)];
}

bool
nmq_queue_pop(nmq_queue *queue, nmq_delivery *out)
{
    if (queue->count == 0) {
        return false;
    }
    *out = queue->ring[queue->head];
    queue->head = (queue->head + 1) & (queue->cap - 1);
    queue->count--;
    queue->qos0_count -= out->qos == 0;
    queue->bytes -= nmq_message_size(out->message);
    if (queue->count == 0) { // an idle session holds no ring
        nmq_free(queue->ring);
        *queue = (nmq_queue){0};
    }
    return true;
}

static nmq_delivery *
place(const nmq_queue *queue, uint32_t index)
{
    return &queue->ring[(queue->head + index) & (queue->cap - 1)];
}

void
nmq_queue_swap(nmq_queue *queue, uint32_t index, nmq_message *message)
{
    nmq_delivery *delivery = place(queue, index);

    queue->bytes += nmq_message_size(message) - nmq_message_size(delivery->message);
    nmq_message_unref(delivery->message);
    delivery->message = message;
}

void
nmq_queue_lower_qos(nmq_queue *queue, uint8_t most)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        nmq_delivery *delivery = place(queue, i);
        delivery->qos = (delivery->qos < most ? delivery->qos : most) & 3u;
    }
}

void
nmq_queue_set_phase(nmq_queue *queue, uint32_t from, uint32_t to, uint32_t phase)
{
    for (uint32_t i = from; i < to; i++) {
        place(queue, i)->phase = phase & 1;
    }
}

uint32_t
nmq_queue_in_phase(const nmq_queue *queue, uint32_t phase)
{
    uint32_t from = 0;
    uint32_t to = queue->count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (place(queue, middle)->phase == phase) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

uint32_t
nmq_queue_sift(nmq_queue *queue, uint32_t from, uint32_t to,
               bool (*keep)(void *arg, const nmq_delivery *delivery), void *arg)
{
    uint32_t kept_from = to; // those that stay move up to here

    for (uint32_t i = to; i > from; i--) {
        nmq_delivery *delivery = place(queue, i - 1);
        if (keep(arg, delivery)) {
            *place(queue, --kept_from) = *delivery;
            continue;
        }
        queue->qos0_count -= delivery->qos == 0;
        queue->bytes -= nmq_message_size(delivery->message);
        nmq_delivery_fini(delivery);
    }
    uint32_t dropped = kept_from - from;
    for (uint32_t i = dropped > 0 ? from : 0; i > 0; i--) {
        *place(queue, i - 1 + dropped) = *place(queue, i - 1);
    }
    queue->count -= dropped;
    queue->head = (queue->head + dropped) & (queue->cap - 1);
    if (queue->count == 0) {
        nmq_free(queue->ring);
        *queue = (nmq_queue){0};
    }
    return dropped;
}

void
nmq_queue_free(nmq_queue *queue)
{
    nmq_delivery delivery;

    while (nmq_queue_pop(queue, &delivery)) {
        nmq_delivery_fini(&delivery);
    }
}
