#include "route/handover_before.h"

#include "base/mem.h"
#include "base/status.h"
#include "route/handover_changes.h"

typedef struct {
    uint64_t session;  // the key
    nmq_queue carried; // that were told again before
    nmq_queue others;  // of those behind them
} entry;

static nmq_bytes
key_of(const uint64_t *session)
{
    return (nmq_bytes){(const uint8_t *) session, sizeof *session};
}

static entry *
find(const nmq_handover_before *before, uint64_t session)
{
    return nmq_map_get(&before->queues, key_of(&session));
}

// Returns NULL when memory is out.
static entry *
find_or_make(nmq_handover_before *before, uint64_t session)
{
    entry *known = find(before, session);
    entry *made = known == NULL ? nmq_zalloc(sizeof *made) : NULL;

    if (made == NULL) {
        return known;
    }
    made->session = session;
    if (nmq_map_put(&before->queues, key_of(&made->session), made) != NMQ_OK) {
        nmq_free(made);
        return NULL;
    }
    return made;
}

// Drops the first of the queue until it has as many.
static void
keep_last(nmq_queue *queue, uint64_t count)
{
    nmq_delivery gone;

    while (queue->count > count && nmq_queue_pop(queue, &gone)) {
        nmq_delivery_fini(&gone);
    }
}

// What is told again is the first of the others, or is from before the records; what is
// behind it says which.
static int
queue(nmq_handover_before *before, nmq_objects *objects, const nmq_delivery_record *record,
      bool carries)
{
    nmq_delivery d;
    int rv = nmq_objects_delivery(objects, record, &d);

    if (rv != NMQ_OK) {
        return rv;
    }
    entry *one = d.message != NULL ? find_or_make(before, record->session) : NULL;
    if (one != NULL && carries) {
        keep_last(&one->others, record->order);
    }
    rv = one == NULL ? NMQ_ENOMEM
                     : nmq_queue_push(carries ? &one->carried : &one->others, &d);
    if (rv != NMQ_OK) {
        rv = d.message != NULL ? rv : NMQ_EMALFORMED;
        nmq_delivery_fini(&d);
    }
    return rv;
}

static void
drop(entry *one, const nmq_message *message)
{
    if (!nmq_handover_drop_last(&one->others, message)) {
        (void) nmq_handover_drop_last(&one->carried, message);
    }
}

int
nmq_handover_before_take(nmq_handover_before *before, nmq_objects *objects,
                         const nmq_journal_record *record)
{
    uint64_t session = record->dropped.session; // the first field of each
    nmq_queue known = {0};
    entry *one;

    switch (record->kind) {
    case NMQ_JOURNAL_DELIVERY:
        // what is in flight is told with the session
        return record->delivery.packet_id == 0
                   ? queue(before, objects, &record->delivery, false)
                   : NMQ_OK;
    case NMQ_JOURNAL_CARRIED: {
        const nmq_delivery_record delivery = nmq_journal_delivery_of(&record->carried);
        return delivery.packet_id == 0 ? queue(before, objects, &delivery, true) : NMQ_OK;
    }
    case NMQ_JOURNAL_DROPPED:
        one = find(before, session);
        if (one != NULL) {
            drop(one, nmq_known_get(&objects->messages, record->dropped.message));
        }
        return NMQ_OK;
    case NMQ_JOURNAL_SESSION_END:
        known = nmq_handover_before_give(before, session);
        nmq_queue_free(&known);
        return NMQ_OK;
    default: return NMQ_OK;
    }
}

nmq_queue
nmq_handover_before_give(nmq_handover_before *before, uint64_t session)
{
    entry *found = nmq_map_del(&before->queues, key_of(&session));
    nmq_queue known = found != NULL ? found->carried : (nmq_queue){0};
    nmq_delivery next;

    while (found != NULL && nmq_queue_pop(&found->others, &next)) {
        if (nmq_queue_push(&known, &next) != NMQ_OK) { // who takes it finds that some lack
            nmq_delivery_fini(&next);
        }
    }
    nmq_free(found);
    return known;
}

void
nmq_handover_before_fini(nmq_handover_before *before)
{
    for (size_t i = 0; i < before->queues.cap; i++) {
        entry *one = before->queues.slots[i].value;
        if (one != NULL) {
            nmq_queue_free(&one->carried);
            nmq_queue_free(&one->others);
            nmq_free(one);
        }
    }
    nmq_map_free(&before->queues);
}
