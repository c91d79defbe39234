#include "route/held.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"

// Of a reply, before its bytes.
typedef struct {
    uint64_t number;
    uint32_t len;
} head;

enum { HEAD_BYTES = sizeof(uint64_t) + sizeof(uint32_t) };

nmq_held *
nmq_held_of(nmq_link *link, nmq_journal *journal)
{
    nmq_held *held = link->held;

    if (held == NULL && (held = nmq_zalloc(sizeof *held)) != NULL) {
        held->link = link;
        held->journal = journal;
        __atomic_store_n(&link->held, held, __ATOMIC_RELEASE);
    }
    return held;
}

void
nmq_held_free(nmq_link *link)
{
    if (link->held != NULL) {
        nmq_buf_free(&link->held->replies);
        nmq_free(link->held);
    }
}

size_t
nmq_held_size(const nmq_link *link)
{
    return link->held != NULL ? link->held->replies.len - link->held->head : 0;
}

// The first reply that is held, of which there is one.
static head
first(const nmq_held *held, nmq_bytes *bytes)
{
    const uint8_t *at = held->replies.at + held->head;
    head h;

    memcpy(&h.number, at, sizeof h.number);
    memcpy(&h.len, at + sizeof h.number, sizeof h.len);
    *bytes = (nmq_bytes){at + HEAD_BYTES, h.len};
    return h;
}

// Moves the rest to the front once half of the buffer has gone.
static void
compact(nmq_held *held)
{
    nmq_buf *replies = &held->replies;

    if (held->head == replies->len) {
        nmq_buf_free(replies);
        held->head = 0;
    } else if (held->head > replies->len / 2) {
        memmove(replies->at, replies->at + held->head, replies->len - held->head);
        replies->len -= held->head;
        held->head = 0;
    }
}

int
nmq_held_put(nmq_link *link, nmq_journal *journal, uint64_t number, nmq_bytes reply)
{
    nmq_held *held = nmq_held_of(link, journal);
    uint32_t len = (uint32_t) reply.len;

    if (held == NULL) {
        return NMQ_ENOMEM;
    }
    if (held->head == held->replies.len && nmq_journal_is_durable(journal, number)) {
        return nmq_outbox_put(&link->outbox, reply);
    }
    held->last = number > held->last ? number : held->last;
    uint8_t *at = nmq_buf_reserve(&held->replies, HEAD_BYTES + reply.len);
    if (at == NULL) {
        return NMQ_ENOMEM;
    }
    memcpy(at, &held->last, sizeof held->last);
    memcpy(at + sizeof held->last, &len, sizeof len);
    memcpy(at + HEAD_BYTES, reply.at, reply.len);
    held->replies.len += HEAD_BYTES + reply.len;
    return NMQ_OK;
}

static bool
is_over(const nmq_held *held, uint64_t *number)
{
    bool over = *number != 0 && nmq_journal_is_durable(held->journal, *number);

    *number = over ? 0 : *number;
    return over;
}

// Lets go what is durable.
static int
let_go(nmq_held *held)
{
    nmq_link *link = held->link;
    nmq_bytes bytes;
    int rv = NMQ_OK;

    if (is_over(held, &held->opens)) {
        link->shut = false;
        link->pump_due = true;
    }
    if (is_over(held, &held->pumps)) {
        link->pump_due = true;
    }
    while (rv == NMQ_OK && held->head < held->replies.len &&
           nmq_journal_is_durable(held->journal, first(held, &bytes).number)) {
        rv = nmq_outbox_put(&link->outbox, bytes);
        held->head += HEAD_BYTES + bytes.len;
    }
    compact(held);
    return rv;
}

static bool
reads_on(nmq_held *held)
{
    bool over = held->parks != 0 && nmq_journal_may_publish(held->journal, held->parks);

    held->parks = over ? 0 : held->parks;
    return over;
}

// The lowest number that it waits for; 0: none. One that has become durable since let_go
// counts: it is let go at once.
static uint64_t
lowest(const nmq_held *held)
{
    nmq_bytes bytes;
    const uint64_t all[] = {held->head < held->replies.len ? first(held, &bytes).number : 0,
                            held->opens, held->pumps};
    bool parks = held->parks != 0 && !nmq_journal_may_publish(held->journal, held->parks);
    uint64_t least = parks ? held->parks : 0;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i] != 0 && (least == 0 || all[i] < least)) {
            least = all[i];
        }
    }
    return least;
}

// What a link that closes holds is lost.
static void
drop(nmq_held *held)
{
    nmq_buf_free(&held->replies);
    held->head = 0;
    held->opens = held->pumps = 0;
}

int
nmq_held_look(nmq_held *held)
{
    int rv = NMQ_OK;

    if (held->link->closed) {
        drop(held);
    }
    while (rv == NMQ_OK) {
        rv = let_go(held);
        uint64_t number = lowest(held);
        if (number == 0) {
            break;
        }
        if (held->waits) { // whoever wakes it looks again
            nmq_journal_wait_less(held->journal, &held->wait, number);
            break;
        }
        if (nmq_journal_wait_for(held->journal, &held->wait, number)) {
            held->waits = true;
            (void) nmq_link_ref(held->link);
            break;
        }
    }
    return rv;
}

bool
nmq_held_open_at(nmq_held *held, uint64_t number)
{
    held->opens = number;
    (void) nmq_held_look(held);
    return held->opens != 0;
}

bool
nmq_held_pump_at(nmq_held *held, uint64_t number)
{
    held->pumps = number;
    (void) nmq_held_look(held);
    return held->pumps != 0;
}

bool
nmq_held_park(nmq_held *held, uint64_t number)
{
    held->parks = number;
    (void) nmq_held_look(held);
    (void) reads_on(held);
    return held->parks != 0;
}

void
nmq_held_end(nmq_link *link)
{
    (void) pthread_mutex_lock(&link->lock);
    nmq_held *held = link->held;
    bool waited = held != NULL && held->waits &&
                  nmq_journal_cancel(held->journal, &held->wait); // else it is being woken
    if (held != NULL) {
        drop(held);
        held->parks = 0;
        held->waits = held->waits && !waited;
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (waited) {
        nmq_link_unref(link); // the journal's
    }
}

// Whether somebody has been kept waiting for an answer. Call with the lock.
static bool
owes_answers(const nmq_held *held)
{
    return held->head < held->replies.len || held->opens != 0;
}

void
nmq_held_expel(nmq_journal_wait *wait, uint8_t reason_code, bool for_good)
{
    nmq_held *held = (nmq_held *) (void *) wait; // it is first
    nmq_link *link = held->link;

    (void) pthread_mutex_lock(&link->lock);
    held->waits = false;
    bool ends = for_good || owes_answers(held) || link->closed;
    bool goes_on = false;
    if (ends) {
        drop(held);
    } else {
        (void) nmq_held_look(held); // with a reference of its own
        goes_on = reads_on(held);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (goes_on) {
        link->ops->committed(link);
    }
    if (ends) {
        link->ops->disconnect(link, reason_code);
    }
    nmq_link_unref(link); // the journal's
}

void
nmq_held_wake(nmq_journal_wait *wait, nmq_batch *batch)
{
    nmq_held *held = (nmq_held *) (void *) wait; // it is first
    nmq_link *link = held->link;

    (void) pthread_mutex_lock(&link->lock);
    held->waits = false;
    int rv = nmq_held_look(held);
    bool goes_on = reads_on(held);
    if (link->outbox.total > 0 || link->pump_due) {
        nmq_batch_touch(batch, link);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (goes_on) {
        link->ops->committed(link);
    }
    if (rv != NMQ_OK) {
        link->ops->disconnect(link, NMQ_RC_UNSPECIFIED_ERROR);
    }
    nmq_link_unref(link); // the journal's
}
