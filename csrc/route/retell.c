#include "route/retell.h"

#include "store/journal_told.h"

enum { RETAINED, CLIENTS, CONSUMERS, CARRY_CLIENTS, CARRY_CONSUMERS, OVER };

// Returns the next client with a reference, or NULL.
static nmq_client *
next_client(nmq_retell *retell)
{
    nmq_registry *registry = &retell->sessions->registry;

    (void) pthread_mutex_lock(&registry->lock);
    nmq_client *client = nmq_registry_next(registry, &retell->at);
    if (client != NULL) {
        (void) nmq_client_ref(client);
    }
    (void) pthread_mutex_unlock(&registry->lock);
    return client;
}

// The same of consumers, of which there are few: the list has the highest place first.
static nmq_client *
next_consumer(nmq_retell *retell)
{
    nmq_client *client = NULL;

    (void) pthread_mutex_lock(&retell->consumers->lock);
    const nmq_consumer *consumer = retell->consumers->first;
    while (consumer != NULL && retell->consumer != 0 &&
           consumer->place >= retell->consumer) {
        consumer = consumer->next;
    }
    if (consumer != NULL) {
        retell->consumer = consumer->place;
        client = nmq_client_ref(consumer->client);
    }
    (void) pthread_mutex_unlock(&retell->consumers->lock);
    return client;
}

static nmq_client *
next(nmq_retell *retell)
{
    bool of_clients = retell->stage == CLIENTS || retell->stage == CARRY_CLIENTS;

    return of_clients ? next_client(retell) : next_consumer(retell);
}

// Keeps the oldest of what is behind.
static void
meet(nmq_retell *retell, const nmq_durable_behind *behind)
{
    nmq_durable_behind *all = &retell->behind;

    if (behind->is_any && (!all->is_any || behind->epoch < all->epoch)) {
        *all = *behind;
    }
}

// Tells of the client, which was found at that place: there it is found again if there is
// more.
static void
tell(nmq_retell *retell, nmq_client *client, uint32_t at, uint64_t consumer)
{
    nmq_durable_behind behind;
    bool more = false;

    if (retell->stage < CARRY_CLIENTS) {
        nmq_durable_retell(retell->sessions->router, client, &behind);
    } else {
        more = nmq_durable_carry(client, retell->epoch, retell->bytes, &behind);
    }
    if (more) {
        retell->at = at;
        retell->consumer = consumer;
    } else {
        meet(retell, &behind);
    }
    nmq_client_unref(client);
}

// Nobody is left for this stage. What is behind decides whether there is another one.
static void
go_on(nmq_retell *retell)
{
    retell->at = 0;
    retell->consumer = 0;
    if (retell->stage != CONSUMERS && retell->stage != CARRY_CONSUMERS) {
        retell->stage++;
        return;
    }
    retell->stage = retell->behind.is_any ? CARRY_CLIENTS : OVER;
    retell->needed_from = retell->epoch = retell->behind.epoch;
    retell->behind = (nmq_durable_behind){0};
}

bool
nmq_retell_step(nmq_retell *retell)
{
    if (retell->stage == RETAINED) {
        nmq_router *router = retell->sessions->router;
        if (!nmq_retained_retell(router->retained, &retell->at)) {
            nmq_journal_tell_sessions(router->journal);
            go_on(retell);
        }
        return true;
    }
    if (retell->stage == OVER) {
        return false;
    }
    uint32_t at = retell->at;
    uint64_t consumer = retell->consumer;
    nmq_client *client = next(retell);
    if (client != NULL) {
        tell(retell, client, at, consumer);
    } else {
        go_on(retell);
    }
    return retell->stage != OVER;
}
