#include "route/retell.h"

#include "base/status.h"
#include "route/durable_whole.h"
#include "store/journal_told.h"
#include "store/session_log.h"

enum { RETAINED, CLIENTS, CONSUMERS, OVER };

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

// Whether the client has a session that was not told again yet.
static bool
is_due(const nmq_retell *retell, nmq_client *client)
{
    (void) pthread_mutex_lock(&client->lock);
    bool due = client->session->log != NULL && nmq_session_is_logged(client->session) &&
               !nmq_journal_has_told(retell->sessions->router->journal,
                                     client->session->log->session);
    (void) pthread_mutex_unlock(&client->lock);
    return due;
}

// The same of consumers, of which there are few.
static nmq_client *
next_consumer(nmq_retell *retell)
{
    (void) pthread_mutex_lock(&retell->consumers->lock);
    const nmq_consumer *consumer = retell->consumers->first;
    while (consumer != NULL && !is_due(retell, consumer->client)) {
        consumer = consumer->next;
    }
    nmq_client *client = consumer != NULL ? nmq_client_ref(consumer->client) : NULL;
    (void) pthread_mutex_unlock(&retell->consumers->lock);
    return client;
}

// Tells a piece of the client's session, which was found at that place; it is found there
// again while there is more.
static int
tell(nmq_retell *retell, nmq_client *client, uint32_t at)
{
    int rv = nmq_durable_retell(retell->sessions->router, client, retell->bytes);

    retell->at = rv > 0 ? at : retell->at;
    nmq_client_unref(client);
    return rv == NMQ_OK ? 1 : rv;
}

int
nmq_retell_step(nmq_retell *retell)
{
    nmq_client *client = NULL;
    uint32_t at = retell->at;

    if (retell->stage == RETAINED) {
        if (nmq_retained_retell(retell->sessions->router->retained, &retell->at)) {
            return 1;
        }
        at = retell->at = 0;
        retell->stage = CLIENTS;
    }
    if (retell->stage == CLIENTS) {
        client = next_client(retell);
        retell->stage = client != NULL ? CLIENTS : CONSUMERS;
    }
    if (retell->stage == CONSUMERS) {
        client = next_consumer(retell);
        retell->stage = client != NULL ? CONSUMERS : OVER;
    }
    return client != NULL ? tell(retell, client, at) : NMQ_OK;
}
