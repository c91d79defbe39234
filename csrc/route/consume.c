#include "route/consume.h"

#include "base/status.h"
#include "route/consumer.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "route/feed_record.h"
#include "route/own.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "store/session_subs.h"

enum {
    TAKE_MESSAGES = 512, // with one lock
    ACK_MESSAGES = 256,  // the same
    TAKE_BYTES = 1 << 18,
    RETAINED_ONES = 64, // out of the store at once
    KEPT_FOR_EVER = -1, // Session Expiry Interval
};

// --- opening

static nmq_bytes
filter_of(const nmq_consumer_options *options, size_t i)
{
    return (nmq_bytes){(const uint8_t *) options->filters[i], options->filter_lens[i]};
}

static int
check(const nmq_consumer_options *options)
{
    nmq_filter parsed;
    nmq_bytes name = {(const uint8_t *) options->name, options->name_len};

    if (name.len == 0 || name.len > UINT16_MAX || !nmq_utf8_check(name) ||
        options->qos > 2 || options->queue_max == 0) {
        return NMQ_EINVAL;
    }
    for (size_t i = 0; i < options->filter_count; i++) {
        nmq_bytes filter = filter_of(options, i);
        if (!nmq_utf8_check(filter) || nmq_filter_parse(filter, &parsed) != NMQ_OK) {
            return NMQ_EFILTER;
        }
    }
    return NMQ_OK;
}

static bool
is_listed(const void *arg, nmq_bytes filter)
{
    const nmq_consumer_options *options = arg;

    for (size_t i = 0; i < options->filter_count; i++) {
        if (nmq_bytes_equal(filter_of(options, i), filter)) {
            return true;
        }
    }
    return false;
}

// Subscribes to what is asked for, and notes that new ones get retained messages. Returns
// as nmq_own_subscribe.
static int
subscribe(nmq_consumers *consumers, nmq_client *client, const nmq_consumer_options *options)
{
    // A consumer sees the RETAIN flag as it was published.
    uint8_t sub_options = (uint8_t) (options->qos | NMQ_SUB_RETAIN_AS_PUBLISHED |
                                     1u << 4); // retained ones for a new subscription alone
    int rv = NMQ_OK;

    for (size_t i = 0; i < options->filter_count && rv == NMQ_OK; i++) {
        nmq_filter filter;
        (void) nmq_filter_parse(filter_of(options, i), &filter);
        rv = nmq_own_subscribe(consumers, client, &filter, sub_options, 0);
    }
    return rv;
}

// Finds the consumer of that name, closed, or makes it. Returns NMQ_OK, NMQ_EINVAL for one
// that is open, or NMQ_ENOMEM. Call with the list's lock.
static int
find_or_make(nmq_consumers *consumers, nmq_bytes name, nmq_consumer **out)
{
    *out = nmq_consumers_find(consumers, name);
    if (*out != NULL) {
        bool has_it = (*out)->client->bridges || nmq_consumer_is_open(*out);
        return has_it ? NMQ_EINVAL : NMQ_OK;
    }
    nmq_client *client = nmq_client_new(&consumers->sessions->registry.counts, name);
    if (client == NULL) {
        return NMQ_ENOMEM;
    }
    client->consumes = true;
    client->expiry_interval_s = (uint32_t) KEPT_FOR_EVER;
    *out = nmq_consumers_add(consumers, client);
    if (*out == NULL) {
        nmq_client_unref(client);
        return NMQ_ENOMEM;
    }
    return NMQ_OK;
}

int
nmq_consumers_open(nmq_consumers *consumers, const nmq_consumer_options *options,
                   uint64_t *number, int32_t *fd)
{
    const nmq_bytes name = {(const uint8_t *) options->name, options->name_len};
    nmq_consumer *consumer = NULL;
    int rv = check(options);

    if (rv != NMQ_OK) {
        return rv;
    }
    (void) pthread_mutex_lock(&consumers->lock);
    bool is_new = nmq_consumers_find(consumers, name) == NULL;
    rv = find_or_make(consumers, name, &consumer);
    if (rv == NMQ_OK) {
        // messages come from its first filter on
        rv = nmq_consumers_set_bounds(consumers, consumer->client, options->queue_max,
                                      options->queue_max_bytes);
    }
    if (rv == NMQ_OK) {
        rv = nmq_own_unsubscribe(consumers, consumer->client, is_listed, options);
    }
    if (rv == NMQ_OK) {
        rv = subscribe(consumers, consumer->client, options);
    }
    if (rv == NMQ_OK) {
        rv = nmq_consumers_attach(consumers, consumer, options->patience_ms, fd);
    }
    if (rv == NMQ_OK) {
        *number = consumer->client->number;
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    if (rv != NMQ_OK && is_new) { // nobody would know of it
        (void) nmq_consumers_end(consumers, options->name, options->name_len);
    }
    return rv;
}

// --- taking

// Puts retained messages that it is owed into the queue. Call with the client's lock.
static void
queue_retained(nmq_consumers *consumers, nmq_client *client, int64_t now_ms)
{
    nmq_message *messages[RETAINED_ONES];
    uint8_t options = 0;
    uint32_t room = client->session->queue_max - client->session->queue.count;
    uint32_t count =
        nmq_replay_take(consumers->sessions->router->retained, client, now_ms, messages,
                        room < RETAINED_ONES ? room : RETAINED_ONES, &options);

    for (uint32_t i = 0; i < count; i++) {
        nmq_delivery d = {
            .message = messages[i],
            .qos = nmq_deliver_qos(messages[i]->qos, options) & 3u,
            .retain = true,
        };
        if (nmq_queue_push(&client->session->queue, &d) != NMQ_OK) {
            nmq_session_tell_lost(client->session, messages[i], NMQ_EVENT_DROPPED,
                                  NMQ_WHY_MEMORY);
            nmq_delivery_fini(&d);
        } else if (client->session->log != NULL) {
            nmq_session_log_queued(client->session, &d);
        }
    }
}

typedef struct {
    nmq_session *session;
    int64_t now_ms;
} expiring;

static bool
is_alive(const expiring *e, const nmq_delivery *delivery)
{
    return !nmq_message_is_expired(delivery->message, e->now_ms);
}

// Whether it has not expired. One that has goes.
static bool
keeps(void *arg, const nmq_delivery *delivery)
{
    const expiring *e = arg;

    if (is_alive(e, delivery)) {
        return true;
    }
    nmq_session_tell_lost(e->session, delivery->message, NMQ_EVENT_EXPIRED, NMQ_WHY_NONE);
    if (e->session->log != NULL) {
        nmq_session_log_dropped(e->session, delivery);
    }
    return false;
}

// Drops what has expired of the messages that one call takes [MQTT-3.3.2-5]; of all, if the
// first has. Call with the client's lock. Returns up to where in the queue none has.
static uint32_t
drop_expired(nmq_consumer *consumer, int64_t now_ms)
{
    expiring e = {consumer->client->session, now_ms};
    nmq_queue *queue = &consumer->client->session->queue;
    uint32_t from = consumer->taken;
    uint32_t to = queue->count;

    if (to - from > (uint32_t) TAKE_MESSAGES && is_alive(&e, nmq_queue_at(queue, from))) {
        to = from + (uint32_t) TAKE_MESSAGES;
    }
    uint32_t new_from = consumer->again < to ? consumer->again : to;
    new_from = new_from > from ? new_from : from;
    uint32_t new_ones = nmq_queue_sift(queue, new_from, to, keeps, &e);
    uint32_t again = nmq_queue_sift(queue, from, new_from, keeps, &e);
    consumer->again -= again;
    return to - again - new_ones;
}

// Puts messages into the feed, as many as one call takes, of those before `to` in the
// queue. Call with the client's lock. Returns how many, or NMQ_ENOMEM for none.
static int
hand_out(nmq_consumer *consumer, uint32_t to, nmq_feed *feed, int64_t now_ms)
{
    const nmq_queue *queue = &consumer->client->session->queue;
    int count = 0;

    while (count < TAKE_MESSAGES && consumer->taken < to &&
           nmq_feed_bytes(feed) < TAKE_BYTES) {
        const nmq_delivery *d = nmq_queue_at(queue, consumer->taken);
        const nmq_message_parts parts = nmq_message_parts_of(d->message);
        uint8_t flags = (d->retain ? NMQ_FEED_RETAINED : 0) |
                        (consumer->taken < consumer->again ? NMQ_FEED_AGAIN : 0);
        if (!nmq_feed_put_message(feed, &parts, flags, now_ms)) {
            return count > 0 ? count : NMQ_ENOMEM;
        }
        consumer->taken++;
        count++;
    }
    return count;
}

int
nmq_consumers_take(nmq_consumers *consumers, uint64_t number, nmq_feed *feed)
{
    nmq_consumer *consumer = nmq_consumers_enter(consumers, number);
    int64_t now_ms = nmq_clock_now_ms();

    if (consumer == NULL) {
        return NMQ_ENOENT;
    }
    nmq_client *client = consumer->client;
    uint32_t to = drop_expired(consumer, now_ms);
    if (consumer->taken == client->session->queue.count && client->session->owed != NULL &&
        !nmq_session_is_full(client->session)) {
        queue_retained(consumers, client, now_ms);
        to = client->session->queue.count;
    }
    nmq_client_count_fresh(client, consumers->sessions->router->counters);
    int rv = hand_out(consumer, to, feed, now_ms);
    nmq_inbox_of(client->link)->is_awaited = rv == 0;
    nmq_consumers_leave(consumers, consumer);
    return rv;
}

// Pops up to ACK_MESSAGES of *left. Call with the client's lock.
static uint32_t
pop_some(nmq_consumer *consumer, uint32_t left, nmq_delivery *out)
{
    nmq_session *session = consumer->client->session;
    uint32_t count = 0;

    while (count < left && count < ACK_MESSAGES) {
        (void) nmq_queue_pop(&session->queue, &out[count]);
        if (session->log != NULL) {
            nmq_session_log_dropped(session, &out[count]);
        }
        count++;
    }
    consumer->taken -= count;
    consumer->again -= count < consumer->again ? count : consumer->again;
    return count;
}

// Notes that there is more room. Returns its link with a reference. Call with the client's
// lock.
static nmq_link *
note_room(nmq_client *client, size_t bytes)
{
    nmq_link *link = client->link;

    nmq_link_moved(link, bytes, nmq_clock_now_ms());
    (void) pthread_mutex_lock(&link->lock);
    nmq_inbox_weigh(nmq_inbox_of(link), client->session);
    (void) pthread_mutex_unlock(&link->lock);
    if (client->session->owed != NULL) {
        nmq_inbox_tell(nmq_inbox_of(link)); // retained messages have waited for room
    }
    return nmq_link_ref(link);
}

// Acknowledges some of *left, and takes them off it.
static int
ack_some(nmq_consumers *consumers, uint64_t number, uint32_t *left)
{
    nmq_delivery done[ACK_MESSAGES];
    nmq_consumer *consumer = nmq_consumers_enter(consumers, number);

    if (consumer == NULL) {
        return NMQ_ENOENT;
    }
    if (*left > consumer->taken) {
        nmq_consumers_leave(consumers, consumer);
        return NMQ_EINVAL;
    }
    uint64_t before = consumer->client->session->queue.bytes;
    uint32_t count = pop_some(consumer, *left, done);
    nmq_link *link = note_room(consumer->client,
                               (size_t) (before - consumer->client->session->queue.bytes));
    nmq_consumers_leave(consumers, consumer);
    for (uint32_t i = 0; i < count; i++) {
        nmq_delivery_fini(&done[i]);
    }
    nmq_link_relieve(link, nmq_consumers_patience(consumers).max_bytes, false);
    nmq_link_unref(link);
    *left -= count;
    return NMQ_OK;
}

int
nmq_consumers_ack(nmq_consumers *consumers, uint64_t number, uint32_t count)
{
    int rv = NMQ_OK;

    while (count > 0 && rv == NMQ_OK) {
        rv = ack_some(consumers, number, &count);
    }
    return rv;
}

int
nmq_consumers_again(nmq_consumers *consumers, uint64_t number)
{
    nmq_consumer *consumer = nmq_consumers_enter(consumers, number);

    if (consumer == NULL) {
        return NMQ_ENOENT;
    }
    nmq_consumer_rewind(consumer);
    nmq_inbox_tell(nmq_inbox_of(consumer->client->link));
    nmq_consumers_leave(consumers, consumer);
    return NMQ_OK;
}

int
nmq_consumers_stats(nmq_consumers *consumers, uint64_t number, nmq_consumer_stats *out)
{
    nmq_consumer *consumer = nmq_consumers_enter(consumers, number);

    if (consumer == NULL) {
        return NMQ_ENOENT;
    }
    const nmq_queue *queue = &consumer->client->session->queue;
    *out = (nmq_consumer_stats){
        .bytes = queue->bytes,
        .dropped = consumer->client->traffic.dropped,
        .waiting = queue->count - consumer->taken,
        .taken = consumer->taken,
    };
    nmq_consumers_leave(consumers, consumer);
    return NMQ_OK;
}

// --- closing

int
nmq_consumers_close(nmq_consumers *consumers, uint64_t number)
{
    nmq_consumer *consumer = nmq_consumers_enter(consumers, number);

    if (consumer == NULL) {
        return NMQ_ENOENT;
    }
    nmq_link *link = nmq_consumer_detach(consumer);
    nmq_consumers_leave(consumers, consumer);
    nmq_consumers_end_link(consumers, link);
    return NMQ_OK;
}

int
nmq_consumers_end(nmq_consumers *consumers, const char *name, size_t name_len)
{
    const nmq_bytes text = {(const uint8_t *) name, name_len};

    return nmq_own_forget(consumers, text, false) ? NMQ_OK : NMQ_ENOENT;
}
