#include "route/consumer_list.h"

#include "base/status.h"
#include "route/consumer.h"
#include "route/page_fill.h"

// Adds a row for it. Call with the list's lock. Returns NMQ_OK or NMQ_ENOMEM.
static int
put_row(nmq_page *page, const nmq_consumer *consumer)
{
    nmq_client *client = consumer->client;
    nmq_consumer_row *row = nmq_page_fill_row(page);

    if (row == NULL) {
        return NMQ_ENOMEM;
    }
    row->place = consumer->place;
    row->name_len = client->session->client_id.len;
    row->name = nmq_page_fill_text(page, client->session->client_id);
    (void) pthread_mutex_lock(&client->lock);
    row->bytes = client->session->queue.bytes;
    row->dropped = client->traffic.dropped;
    row->waiting = client->session->queue.count - consumer->taken;
    row->taken = consumer->taken;
    row->is_open = nmq_consumer_is_open(consumer);
    (void) pthread_mutex_unlock(&client->lock);
    return row->name != NULL ? NMQ_OK : NMQ_ENOMEM;
}

int
nmq_consumers_list(nmq_consumers *consumers, uint64_t below, uint32_t limit, nmq_page **out)
{
    nmq_page *page = nmq_page_fill_new(sizeof(nmq_consumer_row));
    int rv = page != NULL ? NMQ_OK : NMQ_ENOMEM;

    (void) pthread_mutex_lock(&consumers->lock);
    const nmq_consumer *c = consumers->first;
    while (c != NULL && below != 0 && c->place >= below) {
        c = c->next;
    }
    while (c != NULL && rv == NMQ_OK && page->count < limit &&
           !nmq_page_fill_is_heavy(page)) {
        rv = c->client->consumes ? put_row(page, c) : NMQ_OK;
        c = c->next;
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    if (rv != NMQ_OK) {
        nmq_page_free(page);
        return rv;
    }
    page->next = c != NULL;
    *out = page;
    return NMQ_OK;
}
