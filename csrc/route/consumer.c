#include "route/consumer.h"

#include "base/mem.h"
#include "base/status.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "route/durable_whole.h"

enum { EXPECTED_MS = 10000 }; // who starts opens its consumers within that

// --- who waits for it

nmq_patience
nmq_consumers_patience(const nmq_consumers *consumers)
{
    return nmq_deliver_patience(consumers->sessions->router->options, nmq_clock_now_ms());
}

static void
arm(nmq_link *link, int64_t due_ms)
{
    const nmq_consumers *consumers = nmq_inbox_of(link)->owner;

    (void) nmq_link_ref(link);
    if (!nmq_clock_arm(consumers->sessions->clock, &link->wait->timer, due_ms)) {
        nmq_link_unref(link); // armed already: it has its reference
    }
}

static void
look(nmq_timer *timer)
{
    nmq_link *link = ((nmq_link_wait *) (void *) timer)->link; // the timer is first
    const nmq_inbox *inbox = nmq_inbox_of(link);
    const nmq_consumers *consumers = inbox->owner;
    int64_t now_ms = nmq_clock_now_ms();

    if (nmq_deliver_look(consumers->sessions->router, link, &inbox->client, now_ms)) {
        arm(link, now_ms + NMQ_LINK_LOOK_MS);
    }
    nmq_link_unref(link); // the timer's
}

static void
free_link(nmq_link *link)
{
    nmq_inbox_free(nmq_inbox_of(link));
}

// Nothing is written to the outbox of such a link, and it waits for nobody.
static void
not_called(nmq_link *link)
{
    (void) link;
}

static void
disconnect(nmq_link *link, uint8_t reason_code)
{
    (void) link;
    (void) reason_code;
}

static const nmq_link_ops link_ops = {
    .flush = not_called,
    .resume = not_called,
    .committed = not_called,
    .disconnect = disconnect,
    .look = look,
    .arm = arm,
    .free = free_link,
};

// --- the list

void
nmq_consumers_init(nmq_consumers *consumers, nmq_sessions *sessions)
{
    *consumers = (nmq_consumers){.sessions = sessions};
    (void) pthread_mutex_init(&consumers->lock, NULL);
}

void
nmq_consumers_fini(nmq_consumers *consumers)
{
    while (consumers->first != NULL) {
        if (consumers->first->client->consumes && consumers->first->client->link != NULL) {
            nmq_consumers_end_link(consumers, nmq_consumer_detach(consumers->first));
        }
        nmq_client_unref(nmq_consumers_remove(consumers, consumers->first));
    }
    (void) pthread_mutex_destroy(&consumers->lock);
}

nmq_consumer *
nmq_consumers_find(const nmq_consumers *consumers, nmq_bytes name)
{
    nmq_consumer *consumer = consumers->first;

    while (consumer != NULL &&
           !nmq_bytes_equal(consumer->client->session->client_id, name)) {
        consumer = consumer->next;
    }
    return consumer;
}

nmq_consumer *
nmq_consumers_enter(nmq_consumers *consumers, uint64_t number)
{
    (void) pthread_mutex_lock(&consumers->lock);
    for (nmq_consumer *c = consumers->first; c != NULL; c = c->next) {
        if (c->client->number == number) {
            (void) pthread_mutex_lock(&c->client->lock);
            if (c->client->consumes && nmq_consumer_is_open(c)) {
                return c;
            }
            (void) pthread_mutex_unlock(&c->client->lock);
        }
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    return NULL;
}

void
nmq_consumers_leave(nmq_consumers *consumers, nmq_consumer *consumer)
{
    (void) pthread_mutex_unlock(&consumer->client->lock);
    (void) pthread_mutex_unlock(&consumers->lock);
}

nmq_consumer *
nmq_consumers_add(nmq_consumers *consumers, nmq_client *client)
{
    nmq_consumer *consumer = nmq_zalloc(sizeof *consumer);

    if (consumer != NULL) {
        nmq_router *router = consumers->sessions->router;
        nmq_session_observe(client->session, &router->watch.observer, client);
        consumer->client = client;
        consumer->place = ++consumers->last_place;
        consumer->next = consumers->first;
        consumers->first = consumer;
        nmq_watch_readers(&router->watch, client->consumes);
    }
    return consumer;
}

nmq_client *
nmq_consumers_remove(nmq_consumers *consumers, nmq_consumer *consumer)
{
    nmq_consumer **at = &consumers->first;
    nmq_client *client = consumer->client;

    while (*at != consumer) {
        at = &(*at)->next;
    }
    *at = consumer->next;
    nmq_free(consumer);
    nmq_watch_readers(&consumers->sessions->router->watch, client->consumes ? -1 : 0);
    return client;
}

void
nmq_consumer_rewind(nmq_consumer *consumer)
{
    if (consumer->taken > consumer->again) {
        consumer->again = consumer->taken;
    }
    consumer->taken = 0;
}

// --- open and closed

int
nmq_consumers_set_bounds(const nmq_consumers *consumers, nmq_client *client,
                         uint32_t queue_max, uint64_t queue_max_bytes)
{
    (void) pthread_mutex_lock(&client->lock);
    client->session->queue_max = queue_max;
    client->session->queue_max_bytes = queue_max_bytes;
    int rv = nmq_durable_prepare(consumers->sessions->router, client, true);
    if (rv == NMQ_OK) {
        nmq_durable_attached(client, true);
    }
    (void) pthread_mutex_unlock(&client->lock);
    return rv;
}

static int
give_link(nmq_consumers *consumers, nmq_client *client)
{
    nmq_inbox *inbox;
    int rv = nmq_inbox_new(&link_ops, consumers, client, &inbox);

    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&client->lock);
        client->link = &inbox->link; // the reference is the client's now
        (void) pthread_mutex_unlock(&client->lock);
    }
    return rv;
}

int
nmq_consumers_attach(nmq_consumers *consumers, nmq_consumer *consumer, uint32_t patience_ms,
                     int32_t *fd)
{
    nmq_client *client = consumer->client;
    int rv = client->link == NULL ? give_link(consumers, client) : NMQ_OK;

    if (rv != NMQ_OK) {
        return rv;
    }
    nmq_inbox *inbox = nmq_inbox_of(client->link);
    (void) pthread_mutex_lock(&client->lock);
    (void) pthread_mutex_lock(&inbox->link.lock);
    inbox->link.patience_ms = patience_ms;
    (void) pthread_mutex_unlock(&inbox->link.lock);
    consumer->expected = false;
    inbox->is_awaited = true;
    if (client->session->queue.count > 0 || client->session->owed != NULL) {
        nmq_inbox_tell(inbox);
    }
    *fd = inbox->fd;
    (void) pthread_mutex_unlock(&client->lock);
    return NMQ_OK;
}

nmq_link *
nmq_consumer_detach(nmq_consumer *consumer)
{
    nmq_link *link = consumer->client->link;

    nmq_consumer_rewind(consumer);
    consumer->client->link = NULL;
    (void) pthread_mutex_lock(&link->lock);
    link->closed = true; // nobody waits for it any more
    nmq_inbox_of(link)->client = NULL;
    (void) pthread_mutex_unlock(&link->lock);
    return link;
}

void
nmq_consumers_end_link(nmq_consumers *consumers, nmq_link *link)
{
    nmq_link_relieve(link, nmq_consumers_patience(consumers).max_bytes, true);
    if (link->wait != NULL &&
        nmq_clock_cancel(consumers->sessions->clock, &link->wait->timer)) {
        nmq_link_unref(link); // the timer's
    }
    nmq_link_unref(link);
}

// --- over a restart

// Whoever publishes waits for one that was restored. Call with the list's lock.
static void
expect(nmq_consumers *consumers, nmq_consumer *consumer)
{
    int32_t fd;

    // without a descriptor it is closed
    if (nmq_consumers_attach(consumers, consumer, EXPECTED_MS, &fd) == NMQ_OK) {
        (void) pthread_mutex_lock(&consumer->client->lock);
        consumer->expected = true;
        (void) pthread_mutex_unlock(&consumer->client->lock);
    }
}

int
nmq_consumers_restore(nmq_consumers *consumers, nmq_client *client, uint32_t taken)
{
    uint32_t count = client->session->queue.count;
    int rv = NMQ_EINVAL;

    (void) pthread_mutex_lock(&consumers->lock);
    if (nmq_consumers_find(consumers, client->session->client_id) == NULL) {
        nmq_consumer *consumer = nmq_consumers_add(consumers, client);
        rv = consumer != NULL ? NMQ_OK : NMQ_ENOMEM;
        if (consumer != NULL) {
            consumer->again = client->bridges ? 0 : taken < count ? taken : count;
            if (client->consumes) {
                expect(consumers, consumer);
            }
        }
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    return rv == NMQ_OK ? nmq_durable_restored(consumers->sessions->router, client) : rv;
}

void
nmq_consumers_each(nmq_consumers *consumers,
                   void (*each)(void *arg, const nmq_client *client, uint32_t taken),
                   void *arg)
{
    nmq_lanes *lanes = consumers->sessions->router->lanes;

    (void) pthread_mutex_lock(&consumers->lock);
    nmq_lanes_freeze(lanes);
    for (nmq_consumer *c = consumers->first; c != NULL; c = c->next) {
        (void) pthread_mutex_lock(&c->client->lock);
        each(arg, c->client, c->taken > c->again ? c->taken : c->again);
        (void) pthread_mutex_unlock(&c->client->lock);
    }
    nmq_lanes_thaw(lanes);
    (void) pthread_mutex_unlock(&consumers->lock);
}
