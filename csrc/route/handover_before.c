#include "route/handover_before.h"

#include "base/mem.h"
#include "base/status.h"
#include "route/handover_changes.h"

typedef struct {
    uint64_t session; // the key
    nmq_queue queue;
} entry;

static nmq_bytes
key_of(const uint64_t *session)
{
    return (nmq_bytes){(const uint8_t *) session, sizeof *session};
}

static nmq_queue *
find(const nmq_handover_before *before, uint64_t session)
{
    entry *found = nmq_map_get(&before->queues, key_of(&session));

    return found != NULL ? &found->queue : NULL;
}

// Returns NULL when memory is out.
static nmq_queue *
find_or_make(nmq_handover_before *before, uint64_t session)
{
    nmq_queue *known = find(before, session);
    entry *made = known == NULL ? nmq_zalloc(sizeof *made) : NULL;

    if (made == NULL) {
        return known;
    }
    made->session = session;
    if (nmq_map_put(&before->queues, key_of(&made->session), made) != NMQ_OK) {
        nmq_free(made);
        return NULL;
    }
    return &made->queue;
}

static int
queue(nmq_handover_before *before, nmq_objects *objects, const nmq_delivery_record *record)
{
    nmq_delivery d;
    int rv = nmq_objects_delivery(objects, record, &d);

    if (rv != NMQ_OK) {
        return rv;
    }
    nmq_queue *all = d.message != NULL ? find_or_make(before, record->session) : NULL;
    rv = all != NULL ? nmq_queue_push(all, &d) : NMQ_ENOMEM;
    if (rv != NMQ_OK) {
        rv = d.message != NULL ? rv : NMQ_EMALFORMED;
        nmq_delivery_fini(&d);
    }
    return rv;
}

int
nmq_handover_before_take(nmq_handover_before *before, nmq_objects *objects,
                         const nmq_journal_record *record)
{
    uint64_t session = record->dropped.session; // the first field of each
    nmq_queue known = {0};
    nmq_queue *all;

    switch (record->kind) {
    case NMQ_JOURNAL_DELIVERY:
        // what is in flight is told with the session
        return record->delivery.packet_id == 0 ? queue(before, objects, &record->delivery)
                                               : NMQ_OK;
    case NMQ_JOURNAL_DROPPED:
        all = find(before, session);
        if (all != NULL) {
            nmq_handover_drop_last(
                all, nmq_known_get(&objects->messages, record->dropped.message));
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
    nmq_queue known = found != NULL ? found->queue : (nmq_queue){0};

    nmq_free(found);
    return known;
}

void
nmq_handover_before_fini(nmq_handover_before *before)
{
    for (size_t i = 0; i < before->queues.cap; i++) {
        entry *one = before->queues.slots[i].value;
        if (one != NULL) {
            nmq_queue_free(&one->queue);
            nmq_free(one);
        }
    }
    nmq_map_free(&before->queues);
}
