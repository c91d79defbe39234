#include "store/session_log.h"

#include "base/clock.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "store/journal_topics.h"
#include "store/object_record.h"
#include "store/session_tell.h"
#include "store/session_write.h"

enum { FIRST_CAP = 8 };

int
nmq_session_log_begin(nmq_session *session, nmq_journal *journal)
{
    nmq_session_log *log = nmq_zalloc(sizeof *log);

    if (log == NULL) {
        return NMQ_ENOMEM;
    }
    log->journal = journal;
    log->is_told = true; // nothing was before
    NMQ_LIVE_SET(session->log, log);
    return NMQ_OK;
}

void
nmq_session_log_end(nmq_session_log *log)
{
    __atomic_store_n(&log->ended, true, __ATOMIC_RELAXED);
}

void
nmq_session_log_free(nmq_session_log *log)
{
    if (log != NULL) {
        nmq_free(log->unsent);
        nmq_free(log);
    }
}

bool
nmq_session_is_logged(const nmq_session *session)
{
    const nmq_session_log *log = session->log;

    return log != NULL && log->session != 0 && !NMQ_LIVE(log->ended);
}

static void
forget(nmq_session_log *log)
{
    nmq_free(log->unsent);
    log->unsent = NULL;
    log->first = log->count = log->cap = 0;
}

// Makes room for one more packet that waits.
static int
reserve(nmq_session_log *log)
{
    if (log->count < log->cap) {
        return NMQ_OK;
    }
    uint32_t cap = log->cap == 0 ? FIRST_CAP : log->cap * 2;
    nmq_unsent *grown = nmq_alloc(cap * sizeof *grown);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < log->count; i++) {
        grown[i] = log->unsent[(log->first + i) & (log->cap - 1)];
    }
    nmq_free(log->unsent);
    log->unsent = grown;
    log->cap = cap;
    log->first = 0;
    return NMQ_OK;
}

// The packet of that identifier waits for that number, from 1. There is room.
static void
hold(nmq_session_log *log, uint16_t packet_id, uint64_t number)
{
    log->unsent[(log->first + log->count++) & (log->cap - 1)] =
        (nmq_unsent){.number = number, .packet_id = packet_id};
}

// Appends a record that nobody waits for.
static uint64_t
append(const nmq_session *session, const nmq_journal_record *record)
{
    return nmq_journal_append(session->log->journal, record);
}

// Appends one that somebody may wait for.
static void
append_urgent(const nmq_session *session, const nmq_journal_record *record)
{
    session->log->latest = append(session, record);
}

// Appends the delivery. carries: it is the front of what was not carried yet. Returns
// whether it is logged.
static bool
log_delivery(nmq_session_log *log, const nmq_delivery *d, const nmq_inflight_entry *entry,
             bool carries)
{
    nmq_buf many = {0};

    // without memory the record is missing, and so is what comes after it
    int rv = nmq_record_ids(d, &many);
    nmq_journal_record record;
    nmq_record_of_delivery(&record, d, log->session, 0, entry,
                           (nmq_bytes){many.at, many.len});
    record.kind = carries ? NMQ_JOURNAL_CARRIED : NMQ_JOURNAL_DELIVERY;
    uint64_t number = rv == NMQ_OK
                          ? nmq_journal_append_of(log->journal, d->message, &record,
                                                  &record.delivery.message, false)
                          : nmq_journal_fail(log->journal);
    nmq_buf_free(&many);
    log->latest = number != 0 ? number : log->latest; // 0: it is left out
    return number != 0;
}

// A delivery that is logged has left the queue.
static void
note_left(nmq_session_log *log, const nmq_delivery *delivery)
{
    log->behind -= delivery->phase != nmq_session_log_carried(log);
}

void
nmq_session_log_queued(nmq_session *session, const nmq_delivery *delivery)
{
    nmq_session_log *log = session->log;
    nmq_queue *queue = &session->queue;

    nmq_queue_set_phase(queue, queue->count - 1, queue->count, nmq_session_log_came(log));
    nmq_queue_set_epoch(queue, queue->count - 1, queue->count,
                        nmq_journal_epoch(log->journal)); // or a later one
    if (nmq_session_is_logged(session) && delivery->qos > 0) {
        log->behind += log_delivery(log, delivery, NULL, false);
    }
}

// Whether the journal leaves out what was just taken in flight.
static bool
is_left_out(const nmq_session_log *log, const nmq_delivery *delivery, bool from_queue)
{
    if (from_queue || !NMQ_LIVE(log->journal->partial)) { // else it was not decided yet
        return nmq_journal_leaves_out(log->journal, delivery->message);
    }
    return nmq_journal_add_message(log->journal, delivery->message) == NMQ_JOURNAL_LEFT_OUT;
}

// The message is left out, but not its packet identifier. Returns what the packet waits
// for.
static uint64_t
log_identifier(const nmq_session *session, const nmq_inflight_entry *entry)
{
    if (entry->state != NMQ_INFLIGHT_PUBREC) {
        return 0;
    }
    nmq_journal_record record;
    nmq_record_of_identifier(&record, entry, session->log->session);
    return append(session, &record);
}

// Returns what the packet waits for.
static uint64_t
log_launched(nmq_session *session, const nmq_inflight_entry *entry, bool from_queue)
{
    nmq_session_log *log = session->log;
    nmq_journal_record record; // as in nmq_session_log_done

    record.kind = NMQ_JOURNAL_LAUNCHED;
    record.launched = (nmq_launched_record){
        .session = log->session, .order = entry->order, .packet_id = entry->packet_id};
    if (is_left_out(log, &entry->delivery, from_queue)) {
        return log_identifier(session, entry);
    }
    if (!from_queue) {
        (void) log_delivery(log, &entry->delivery, entry, false);
        return log->latest;
    }
    note_left(log, &entry->delivery);
    if (nmq_session_log_is_behind(log, &entry->delivery)) {
        (void) log_delivery(log, &entry->delivery, entry, true);
    } else {
        append_urgent(session, &record);
    }
    return log->latest;
}

int
nmq_session_log_launch(nmq_session *session, nmq_outbox *outbox,
                       const nmq_inflight_entry *entry, const nmq_delivery *delivery,
                       int64_t now_ms)
{
    bool logged = nmq_session_is_logged(session);
    bool waits = logged && entry->state == NMQ_INFLIGHT_PUBREC;
    uint64_t number = 0;
    int rv = waits ? reserve(session->log)
                   : nmq_session_write_entry(session, outbox, entry, false, now_ms);

    if (rv == NMQ_OK && logged) {
        number = log_launched(session, entry, delivery == nmq_queue_front(&session->queue));
    }
    if (rv == NMQ_OK && waits) {
        hold(session->log, entry->packet_id, number);
    }
    return rv;
}

void
nmq_session_log_dropped(nmq_session *session, const nmq_delivery *delivery)
{
    nmq_session_log *log = session->log;

    if (nmq_session_is_logged(session) && delivery->qos > 0 &&
        nmq_journal_append_gone(
            log->journal, delivery->message,
            &(nmq_journal_record){
                .kind = NMQ_JOURNAL_DROPPED,
                .dropped = {.session = log->session,
                            .behind = delivery->phase != nmq_session_log_carried(log)}}) !=
            0) {
        note_left(log, delivery);
    }
}

int
nmq_session_log_receive(nmq_session *session, nmq_outbox *outbox, nmq_inflight_entry *entry)
{
    nmq_session_log *log = session->log;
    uint16_t packet_id = entry->packet_id;
    bool logged = nmq_session_is_logged(session);
    uint64_t number = 1; // nothing more: its identifier was durable before it was sent

    if (logged && reserve(log) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    if (entry->state == NMQ_INFLIGHT_PUBREC) {
        bool known =
            logged && !nmq_journal_leaves_out(log->journal, entry->delivery.message);
        nmq_inflight_received(&session->inflight, entry); // [MQTT-4.3.3-4]
        if (known) {
            append_urgent(session,
                          &(nmq_journal_record){.kind = NMQ_JOURNAL_RECEIVED,
                                                .received = {.session = log->session,
                                                             .packet_id = packet_id}});
            number = log->latest;
        }
    }
    if (!logged) {
        return nmq_session_write_pubrel(session, outbox, packet_id, NMQ_RC_SUCCESS);
    }
    hold(log, packet_id, number);
    return nmq_session_log_pump(session, outbox, nmq_clock_now_ms());
}

void
nmq_session_log_done(nmq_session *session, const nmq_inflight_entry *entry)
{
    if (nmq_session_is_logged(session) &&
        !(entry->state == NMQ_INFLIGHT_PUBACK &&
          nmq_journal_leaves_out(session->log->journal, entry->delivery.message))) {
        nmq_journal_record record; // of which only this is written: it is for each message
        record.kind = NMQ_JOURNAL_DONE;
        record.done = (nmq_done_record){.session = session->log->session,
                                        .packet_id = entry->packet_id};
        (void) append(session, &record);
    }
}

void
nmq_session_log_unreleased(nmq_session *session, uint16_t packet_id)
{
    if (nmq_session_is_logged(session)) {
        append_urgent(session,
                      &(nmq_journal_record){.kind = NMQ_JOURNAL_UNRELEASED,
                                            .unreleased = {.session = session->log->session,
                                                           .packet_id = packet_id}});
    }
}

bool
nmq_session_log_release(nmq_session *session, uint16_t packet_id)
{
    bool known = nmq_id_set_del(&session->unreleased, packet_id);

    if (known && nmq_session_is_logged(session)) {
        append_urgent(session,
                      &(nmq_journal_record){.kind = NMQ_JOURNAL_RELEASED,
                                            .released = {.session = session->log->session,
                                                         .packet_id = packet_id}});
    }
    return known;
}

// --- packets that wait

int
nmq_session_give_up_unsendable(nmq_session *session, nmq_inflight_entry *entry, int how)
{
    bool late = how == NMQ_ETIMEOUT;

    if (!late && how != NMQ_ETOOBIG) {
        return how;
    }
    nmq_session_tell_lost(session, entry->delivery.message,
                          late ? NMQ_EVENT_EXPIRED : NMQ_EVENT_DROPPED,
                          late ? NMQ_WHY_NONE : NMQ_WHY_TOO_LARGE);
    nmq_session_end_entry(session, entry);
    return NMQ_OK;
}

static int
send_one(nmq_session *s, nmq_outbox *outbox, uint16_t packet_id, int64_t now_ms)
{
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, packet_id);

    if (entry == NULL) { // over meanwhile
        return NMQ_OK;
    }
    if (entry->state == NMQ_INFLIGHT_PUBCOMP) {
        return nmq_session_write_pubrel(s, outbox, packet_id, NMQ_RC_SUCCESS);
    }
    int rv = nmq_session_write_entry(s, outbox, entry, false, now_ms);
    return nmq_session_give_up_unsendable(s, entry, rv);
}

int
nmq_session_log_pump(nmq_session *session, nmq_outbox *outbox, int64_t now_ms)
{
    nmq_session_log *log = session->log;
    int rv = NMQ_OK;

    while (log->count > 0 && rv == NMQ_OK &&
           nmq_journal_is_durable(log->journal, log->unsent[log->first].number)) {
        rv = send_one(session, outbox, log->unsent[log->first].packet_id, now_ms);
        if (rv == NMQ_OK) {
            log->first = (log->first + 1) & (log->cap - 1);
            log->count--;
        }
    }
    if (log->count == 0 && log->cap > FIRST_CAP) {
        forget(log);
    }
    return rv;
}

uint64_t
nmq_session_log_awaits(const nmq_session *session)
{
    const nmq_session_log *log = session->log;

    return log->count > 0 ? log->unsent[log->first].number : 0;
}

void
nmq_session_log_forget_unsent(nmq_session *session)
{
    forget(session->log);
}
