#include "base/worker.h"

#include <stddef.h>

enum {
    THINGS_MIN = 4,      // to flush fewer is faster than to look for another batch
    MESSAGES_MAX = 2048, // about a millisecond of work
    BATCHES_MAX = 16,
};

void
nmq_unflushed_put(nmq_unflushed_list *list, nmq_unflushed *thing)
{
    thing->next = NULL;
    *(list->first == NULL ? &list->first : &list->last->next) = thing;
    list->last = thing;
}

static void
flush_list(nmq_unflushed_list list, nmq_flush_fn *flush)
{
    while (list.first != NULL) {
        nmq_unflushed *thing = list.first;
        list.first = thing->next; // flush may put it on another list
        flush(thing);
    }
}

static void
append(nmq_worker *worker, nmq_unflushed_list list)
{
    nmq_unflushed_list *all = &worker->list;

    *(all->first == NULL ? &all->first : &all->last->next) = list.first;
    all->last = list.last;
    for (const nmq_unflushed *thing = list.first;
         thing != NULL && worker->things < THINGS_MIN; thing = thing->next) {
        worker->things++;
    }
}

static void
flush_all(nmq_worker *worker)
{
    nmq_unflushed_list list = worker->list;

    worker->list = (nmq_unflushed_list){0};
    flush_list(list, worker->flush);
}

void
nmq_worker_put_off(nmq_worker *worker, nmq_unflushed_list list, nmq_flush_fn *flush,
                   uint64_t messages)
{
    if (worker == NULL) {
        flush_list(list, flush);
        return;
    }
    if (list.first != NULL) {
        worker->flush = flush;
        append(worker, list);
    }
    worker->messages += messages;
    if (worker->messages >= MESSAGES_MAX) {
        flush_all(worker); // messages and things keep their values, so nothing more is read
    }
}

bool
nmq_worker_wants_more(nmq_worker *worker)
{
    return worker->things >= THINGS_MIN && worker->messages < MESSAGES_MAX &&
           ++worker->batches < BATCHES_MAX;
}

bool
nmq_worker_is_full(const nmq_worker *worker, uint64_t messages)
{
    return worker != NULL && worker->list.first != NULL &&
           worker->messages + messages >= MESSAGES_MAX;
}

void
nmq_worker_flush(nmq_worker *worker)
{
    flush_all(worker);
    *worker = (nmq_worker){0};
}
