#include "store/journal.h"

#include "base/clock.h"
#include "base/live.h"
#include "base/status.h"
#include "store/object_record.h"

// Of what may be staged, the part at which the writer is wanted though nobody waits.
enum { URGED_SHARE = 4 };

void
nmq_journal_init(nmq_journal *journal, uint64_t full_bytes,
                 void (*wanted)(void *arg, bool waits), void *arg)
{
    *journal = (nmq_journal){.full_bytes = full_bytes,
                             .room = UINT64_MAX,
                             .left = UINT64_MAX,
                             .wanted = wanted,
                             .arg = arg};
    nmq_message_have_numbers();
    (void) pthread_mutex_init(&journal->lock, NULL);
    nmq_clock_cond_init(&journal->turned);
}

void
nmq_journal_let_go(nmq_journal *journal)
{
    journal->lax = true;
    journal->durable = NMQ_JOURNAL_NEVER - 1;
}

void
nmq_journal_fini(nmq_journal *journal)
{
    nmq_buf_free(&journal->staged);
    (void) pthread_cond_destroy(&journal->turned);
    nmq_topic_choice_fini(&journal->topics);
    (void) pthread_mutex_destroy(&journal->lock);
}

// Returns whether nothing is staged.
static bool
begin_append(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    return journal->staged.len == 0;
}

// Says what is left of the room. Call with the lock.
static void
measure(nmq_journal *journal)
{
    uint64_t used = journal->staged.len + journal->writing;

    NMQ_LIVE_SET(journal->left, journal->room > used ? journal->room - used : 0);
}

static void
end_append(nmq_journal *journal, bool was_empty)
{
    bool first = was_empty && journal->staged.len != 0;
    bool urges = journal->full_bytes != 0 && !journal->urged &&
                 journal->staged.len > journal->full_bytes / URGED_SHARE;

    journal->urged = journal->urged || urges;

    if (journal->full_bytes != 0 &&
        journal->staged.len + journal->writing > journal->full_bytes) {
        NMQ_LIVE_SET(journal->full, true);
    }
    measure(journal);
    (void) pthread_mutex_unlock(&journal->lock);
    if ((first || urges) && journal->wanted != NULL) {
        journal->wanted(journal->arg, urges);
    }
}

// Notes that `count` records were appended, of which so many are asked for, or that they
// could not be. Call with the lock.
static uint64_t
note(nmq_journal *journal, uint64_t count, uint64_t asked, int rv)
{
    NMQ_LIVE_SET(journal->asked, journal->asked + asked);
    journal->failed = journal->failed || rv != NMQ_OK;
    if (journal->failed) {
        return NMQ_JOURNAL_NEVER;
    }
    return journal->appended += count;
}

// Call with the lock.
static uint64_t
append(nmq_journal *journal, const nmq_journal_record *record)
{
    return note(journal, 1, record->kind != NMQ_JOURNAL_DONE,
                journal->failed ? NMQ_ENOMEM : nmq_journal_put(&journal->staged, record));
}

uint64_t
nmq_journal_append(nmq_journal *journal, const nmq_journal_record *record)
{
    bool was_empty = begin_append(journal);
    uint64_t number = append(journal, record);
    end_append(journal, was_empty);
    return number;
}

uint64_t
nmq_journal_append_session(nmq_journal *journal, nmq_bytes records, uint64_t *session,
                           bool again)
{
    bool was_empty = begin_append(journal);
    size_t from = journal->staged.len;
    int rv = journal->failed ? NMQ_ENOMEM : nmq_buf_put(&journal->staged, records);
    uint64_t count = 0;
    if (rv == NMQ_OK) {
        if (*session == 0) {
            *session = ++journal->given.sessions;
        }
        count = nmq_journal_number(journal->staged.at + from, records.len, *session);
        journal->retold += again ? records.len : 0;
    }
    uint64_t number = note(journal, count, again ? 0 : count, rv);
    end_append(journal, was_empty);
    return number;
}

// Call with the lock.
static uint64_t
add_origin(nmq_journal *journal, nmq_origin *origin)
{
    if (origin != NULL && origin->logged <= journal->told.origins) {
        origin->logged = ++journal->given.origins;
        const nmq_journal_record record = nmq_record_of_origin(origin, origin->logged);
        (void) append(journal, &record);
    }
    return origin != NULL ? origin->logged : 0;
}

// Call with the lock.
static uint64_t
add_message(nmq_journal *journal, nmq_message *message)
{
    uint64_t number = nmq_message_number(message);
    size_t before = journal->staged.len;

    if (number > journal->told.messages) {
        return number;
    }
    if (number == 0 &&
        !nmq_topic_choice_has(&journal->topics, nmq_message_topic(message))) {
        nmq_message_set_number(message, NMQ_JOURNAL_LEFT_OUT);
        return NMQ_JOURNAL_LEFT_OUT;
    }
    nmq_moment now = {0};
    if (message->expires_at_ms != 0) { // else the time counts for nothing
        now.wall_ms = nmq_clock_wall_ms();
        now.clock_ms = nmq_clock_now_ms();
    }
    uint64_t origin = add_origin(journal, message->origin);
    nmq_message_set_number(message, ++journal->given.messages);
    nmq_journal_record record;
    nmq_record_of_message(&record, message, journal->given.messages, origin, &now);
    record.message.was = number;
    (void) append(journal, &record);
    journal->retold += number != 0 ? journal->staged.len - before : 0;
    return journal->given.messages;
}

uint64_t
nmq_journal_add_message(nmq_journal *journal, nmq_message *message)
{
    bool was_empty = begin_append(journal);
    uint64_t number = add_message(journal, message);
    end_append(journal, was_empty);
    return number;
}

uint64_t
nmq_journal_append_of(nmq_journal *journal, nmq_message *message,
                      nmq_journal_record *record, uint64_t *names, bool again)
{
    bool was_empty = begin_append(journal);
    *names = add_message(journal, message);
    size_t before = journal->staged.len;
    uint64_t number = *names != NMQ_JOURNAL_LEFT_OUT ? append(journal, record) : 0;
    journal->retold += again ? journal->staged.len - before : 0;
    end_append(journal, was_empty);
    return number;
}

uint64_t
nmq_journal_append_gone(nmq_journal *journal, const nmq_message *message,
                        nmq_journal_record *record)
{
    bool was_empty = begin_append(journal);
    record->dropped.message = nmq_message_number(message);
    bool left_out = record->dropped.message == NMQ_JOURNAL_LEFT_OUT;
    uint64_t number = left_out ? 0 : append(journal, record);
    end_append(journal, was_empty);
    return number;
}

uint64_t
nmq_journal_fail(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    uint64_t number = note(journal, 0, 0, NMQ_ENOMEM);
    (void) pthread_mutex_unlock(&journal->lock);
    return number;
}

uint64_t
nmq_journal_appended(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    uint64_t number = note(journal, 0, 0, NMQ_OK);
    (void) pthread_mutex_unlock(&journal->lock);
    return number;
}

bool
nmq_journal_wait_for(nmq_journal *journal, nmq_journal_wait *wait, uint64_t number)
{
    (void) pthread_mutex_lock(&journal->lock);
    bool waits = !nmq_journal_may_publish(journal, number);
    if (waits) {
        nmq_journal_waits_put(&journal->waits, wait, number);
    }
    (void) pthread_mutex_unlock(&journal->lock);
    if (waits && journal->wanted != NULL) {
        journal->wanted(journal->arg, true);
    }
    return waits;
}

void
nmq_journal_wait_less(nmq_journal *journal, nmq_journal_wait *wait, uint64_t number)
{
    (void) pthread_mutex_lock(&journal->lock);
    if (number < wait->number) { // else it is on no list, or waits for less
        wait->number = number;
    }
    (void) pthread_mutex_unlock(&journal->lock);
}

bool
nmq_journal_cancel(nmq_journal *journal, nmq_journal_wait *wait)
{
    (void) pthread_mutex_lock(&journal->lock);
    bool waited = nmq_journal_waits_del(&journal->waits, wait);
    (void) pthread_mutex_unlock(&journal->lock);
    return waited;
}

// Takes what is staged before the first group; what is behind it stays staged. Call with
// the lock.
static uint64_t
take_before(nmq_journal *journal, nmq_buf *out)
{
    const nmq_journal_group first = *journal->groups;
    nmq_buf staged = journal->staged;
    const nmq_bytes behind = {staged.at + first.bytes, staged.len - first.bytes};

    out->len = 0;
    journal->cut = journal->cut || behind.len > 0;
    if (first.bytes == 0) {
        return first.number;
    }
    if (behind.len > 0 && nmq_buf_put(out, behind) != NMQ_OK) {
        return journal->durable; // once more, later
    }
    for (nmq_journal_group *group = journal->groups; group != NULL; group = group->next) {
        group->bytes -= first.bytes;
    }
    journal->staged = *out;
    *out = staged;
    out->len = first.bytes;
    journal->writing = first.bytes;
    return first.number;
}

// Call with the lock.
static uint64_t
take(nmq_journal *journal, nmq_buf *out)
{
    if (journal->groups != NULL) {
        return take_before(journal, out);
    }
    nmq_buf staged = journal->staged;
    journal->staged = *out;
    journal->staged.len = 0;
    *out = staged;
    journal->writing = staged.len;
    journal->urged = false;
    return journal->appended;
}

uint64_t
nmq_journal_take(nmq_journal *journal, nmq_buf *out)
{
    (void) pthread_mutex_lock(&journal->lock);
    uint64_t number = take(journal, out);
    (void) pthread_mutex_unlock(&journal->lock);
    return number;
}

nmq_journal_load
nmq_journal_look(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    const nmq_journal_load load = {.waiting = journal->waits.count,
                                   .staged = journal->staged.len + journal->writing,
                                   .left = journal->left};
    (void) pthread_mutex_unlock(&journal->lock);
    return load;
}

// Appends where a run begins. Call with the lock.
static void
put_begin(nmq_journal *journal, nmq_journal_record *record)
{
    record->begin.messages = journal->given.messages;
    record->begin.origins = journal->given.origins;
    record->begin.sessions = journal->given.sessions;
    journal->begun = journal->given;
    NMQ_LIVE_SET(journal->epoch, journal->epoch + 1);
    (void) append(journal, record);
}

void
nmq_journal_begin(nmq_journal *journal, nmq_journal_record *begin)
{
    bool was_empty = begin_append(journal);
    put_begin(journal, begin);
    end_append(journal, was_empty);
}

// Waits until no group is open; none is opened meanwhile. Returns whether that is so. Call
// with the lock.
static bool
wait_for_groups(nmq_journal *journal)
{
    const struct timespec until = nmq_clock_after(NMQ_JOURNAL_ANEW_MS);
    int rv = 0;

    journal->turn++;
    journal->turns = true;
    while (journal->groups != NULL && rv == 0) {
        rv = pthread_cond_timedwait(&journal->turned, &journal->lock, &until);
    }
    journal->turns = false;
    (void) pthread_cond_broadcast(&journal->turned);
    return journal->groups == NULL;
}

uint64_t
nmq_journal_begin_anew(nmq_journal *journal, nmq_buf *out, nmq_journal_record *begin,
                       bool is_round)
{
    (void) pthread_mutex_lock(&journal->lock);
    if (!wait_for_groups(journal)) {
        (void) pthread_mutex_unlock(&journal->lock);
        return 0;
    }
    const nmq_journal_given before = journal->begun;
    uint64_t number = take(journal, out);
    put_begin(journal, begin);
    journal->told.messages = is_round ? journal->given.messages : before.messages;
    journal->told.origins = is_round ? journal->given.origins : before.origins;
    if (is_round) {
        journal->told.sessions = journal->given.sessions;
        journal->retold = 0;
    }
    end_append(journal, true);
    return number;
}

void
nmq_journal_written(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    journal->writing = 0;
    if (journal->staged.len == 0 && journal->staged.cap > NMQ_JOURNAL_KEPT_BYTES) {
        nmq_buf_free(&journal->staged);
    }
    if (journal->full_bytes != 0 && journal->staged.len <= journal->full_bytes / 2) {
        NMQ_LIVE_SET(journal->full, false);
    }
    measure(journal);
    (void) pthread_mutex_unlock(&journal->lock);
}

void
nmq_journal_set_room(nmq_journal *journal, uint64_t bytes)
{
    (void) pthread_mutex_lock(&journal->lock);
    journal->room = bytes;
    measure(journal);
    (void) pthread_mutex_unlock(&journal->lock);
}

bool
nmq_journal_has_failed(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    bool failed = journal->failed;
    (void) pthread_mutex_unlock(&journal->lock);
    return failed;
}

void
nmq_journal_break(nmq_journal *journal, bool refuses)
{
    (void) pthread_mutex_lock(&journal->lock);
    journal->failed = true;
    journal->writing = 0;
    nmq_buf_free(&journal->staged);
    journal->room = refuses ? 0 : UINT64_MAX;
    NMQ_LIVE_SET(journal->broken, refuses); // before there is no room
    NMQ_LIVE_SET(journal->full, false);
    measure(journal);
    (void) pthread_mutex_unlock(&journal->lock);
}

nmq_journal_wait *
nmq_journal_expel(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    nmq_journal_wait *all = nmq_journal_waits_settle(&journal->waits, NMQ_JOURNAL_NEVER);
    (void) pthread_mutex_unlock(&journal->lock);
    return all;
}

nmq_journal_wait *
nmq_journal_settle(nmq_journal *journal, uint64_t number)
{
    (void) pthread_mutex_lock(&journal->lock);
    if (!journal->lax && number > journal->durable) {
        __atomic_store_n(&journal->durable, number, __ATOMIC_RELEASE);
    }
    nmq_journal_wait *due = nmq_journal_waits_settle(&journal->waits, number);
    (void) pthread_mutex_unlock(&journal->lock);
    return due;
}
