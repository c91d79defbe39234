#include "route/retained.h"

#include "base/container.h"
#include "base/live.h"
#include "base/metrics.h"
#include "base/peak.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "store/journal_topics.h"

enum {
    STEP_VISITS = 256,   // of nodes, with the store's lock
    SWEEP_MESSAGES = 256 // that have expired, with the store's lock
};

// Sees to it that expired messages leave the store by then. Call with the lock.
static void
arm_sweep(nmq_retained *retained, int64_t due_ms)
{
    if (due_ms != 0 && (retained->sweep_due_ms == 0 || due_ms < retained->sweep_due_ms)) {
        retained->sweep_due_ms = due_ms;
        (void) nmq_clock_arm(retained->clock, &retained->sweep, due_ms);
    }
}

static void
tell_expired(void *arg, const nmq_message *message)
{
    const nmq_message_parts parts = nmq_message_parts_of(message);

    nmq_watch_tell(arg, &(nmq_event){.kind = NMQ_EVENT_EXPIRED, .message = &parts});
}

static void
fire_sweep(nmq_timer *timer)
{
    nmq_retained *retained = NMQ_CONTAINER(timer, nmq_retained, sweep);
    int64_t now_ms = nmq_clock_now_ms();
    int64_t due_ms;

    do { // others get at the store in between
        (void) pthread_mutex_lock(&retained->lock);
        retained->sweep_due_ms = 0;
        due_ms = nmq_retain_sweep(retained->store, now_ms, SWEEP_MESSAGES, tell_expired,
                                  retained->watch);
        if (due_ms > now_ms) {
            arm_sweep(retained, due_ms);
        }
        (void) pthread_mutex_unlock(&retained->lock);
    } while (due_ms != 0 && due_ms <= now_ms);
}

int
nmq_retained_init(nmq_retained *retained)
{
    retained->sweep.fire = fire_sweep;
    (void) pthread_mutex_init(&retained->lock, NULL);
    retained->store = nmq_retain_new();
    return retained->store != NULL ? NMQ_OK : NMQ_ENOMEM;
}

void
nmq_retained_fini(nmq_retained *retained)
{
    nmq_retain_free(retained->store);
    (void) pthread_mutex_destroy(&retained->lock);
}

// Whether there is no room to log the message. At QoS 0 nobody was asked before it was
// routed; what takes one away always goes.
static bool
lacks_room(const nmq_retained *retained, const nmq_message *message)
{
    return message->qos == 0 && message->payload_len > 0 &&
           nmq_journal_may(retained->journal, message->payload_len) == NMQ_ENOSPC &&
           nmq_journal_wants_topic(retained->journal, nmq_message_topic(message)) &&
           !nmq_topic_is_sys(nmq_message_topic(message));
}

// A message is not kept, and its publisher is not told: counts it, and logs it once in a
// while.
static void
log_not_kept(nmq_retained *retained, const nmq_message *message)
{
    nmq_bytes topic = nmq_message_topic(message);

    nmq_counters_add(retained->counters, NMQ_COUNT_REFUSED_RETAINED, 1);
    if (nmq_log_is_due(&retained->not_kept_ms, nmq_clock_now_ms())) {
        nmq_log_write(retained->log, NMQ_LOG_WARNING,
                      "there is no room for retained messages: '%s' is not kept",
                      nmq_log_quoted(topic).text);
    }
}

// Call both with the lock. What expires is not logged: its message says when.
static void
log_dropped(nmq_retained *retained, nmq_bytes topic_name)
{
    if (!nmq_topic_is_sys(topic_name)) {
        (void) nmq_journal_append(
            retained->journal,
            &(nmq_journal_record){.kind = NMQ_JOURNAL_RETAIN_DROPPED,
                                  .retain_dropped = {.topic_name = topic_name}});
    }
}

// Whether the log has one of that topic, for all that is known. Call with the lock, before
// it changes.
static bool
may_be_logged(const nmq_retained *retained, nmq_bytes topic_name)
{
    nmq_journal *journal = retained->journal;

    if (journal == NULL || !NMQ_LIVE(journal->partial)) {
        return true;
    }
    const nmq_message *old = nmq_retain_get(retained->store, topic_name);
    return old != NULL && !nmq_journal_leaves_out(journal, old);
}

// again: it was logged before the journal began anew; drops: the log may have another one.
static void
log_kept(nmq_retained *retained, nmq_message *message, bool again, bool drops)
{
    nmq_bytes topic_name = nmq_message_topic(message);

    if (message->payload_len == 0) {
        if (drops) {
            log_dropped(retained, topic_name);
        }
    } else if (!nmq_topic_is_sys(topic_name)) {
        nmq_journal_record record = {
            .kind = NMQ_JOURNAL_RETAINED,
            .retained = {.order = nmq_retain_order(retained->store, topic_name)}};
        (void) nmq_journal_append_of(retained->journal, message, &record,
                                     &record.retained.message, again);
        if (record.retained.message == NMQ_JOURNAL_LEFT_OUT && drops) {
            log_dropped(retained, topic_name);
        }
    }
}

bool
nmq_retained_retell(nmq_retained *retained, uint32_t *at)
{
    (void) pthread_mutex_lock(&retained->lock);
    uint32_t place = nmq_places_next(nmq_retain_places(retained->store), *at);
    if (place != NMQ_NO_PLACE) {
        log_kept(retained, nmq_retain_at(retained->store, place), true, false);
        *at = place + 1;
    }
    (void) pthread_mutex_unlock(&retained->lock);
    return place != NMQ_NO_PLACE;
}

int
nmq_retained_keep(nmq_retained *retained, nmq_message *message, bool bounded)
{
    const nmq_options *options = retained->options;
    uint8_t memory = NMQ_LIVE(*retained->memory);
    nmq_retain_bounds bounds = {NMQ_LIVE(options->retained_max),
                                NMQ_LIVE(options->retained_max_bytes),
                                memory != NMQ_MEMORY_FINE, memory == NMQ_MEMORY_OUT};
    int rv = NMQ_ENOMEM;
    bool drops = false;

    (void) pthread_mutex_lock(&retained->lock);
    if (message != NULL) {
        drops = may_be_logged(retained, nmq_message_topic(message));
        bool fits = !bounded || (!lacks_room(retained, message) &&
                                 nmq_retain_fits(retained->store, message, &bounds));
        rv = fits ? nmq_retain_put(retained->store, message) : NMQ_ETOOBIG;
    }
    nmq_peak_raise(&retained->count_max, nmq_retain_count(retained->store));
    if (rv == NMQ_OK && message->expires_at_ms != 0) {
        arm_sweep(retained, message->expires_at_ms);
    }
    if (rv == NMQ_OK && retained->journal != NULL) {
        log_kept(retained, message, false, drops);
    }
    (void) pthread_mutex_unlock(&retained->lock);
    if (rv == NMQ_ETOOBIG) {
        log_not_kept(retained, message);
    } else if (rv != NMQ_OK) {
        nmq_log_write(retained->log, NMQ_LOG_ERROR, "a retained message is lost: %s",
                      nmq_status_text(rv));
    }
    return rv;
}

nmq_message *
nmq_retained_get(nmq_retained *retained, nmq_bytes topic_name)
{
    (void) pthread_mutex_lock(&retained->lock);
    nmq_message *found = nmq_retain_get(retained->store, topic_name);
    if (found != NULL) {
        found = nmq_message_is_expired(found, nmq_clock_now_ms()) ? NULL
                                                                  : nmq_message_ref(found);
    }
    (void) pthread_mutex_unlock(&retained->lock);
    return found;
}

void
nmq_retained_drop(nmq_retained *retained, nmq_bytes topic_name)
{
    (void) pthread_mutex_lock(&retained->lock);
    bool drops = may_be_logged(retained, topic_name);
    nmq_retain_del(retained->store, topic_name);
    if (retained->journal != NULL && drops) {
        log_dropped(retained, topic_name);
    }
    (void) pthread_mutex_unlock(&retained->lock);
}

nmq_retain_cursor *
nmq_retained_open(nmq_retained *retained, nmq_bytes filter)
{
    (void) pthread_mutex_lock(&retained->lock);
    nmq_retain_cursor *cursor = nmq_retain_open(retained->store, filter);
    (void) pthread_mutex_unlock(&retained->lock);
    return cursor;
}

nmq_retain_cursor *
nmq_retained_open_at(nmq_retained *retained, nmq_bytes filter, uint64_t order,
                     nmq_bytes topic_name)
{
    (void) pthread_mutex_lock(&retained->lock);
    nmq_retain_cursor *cursor =
        nmq_retain_open_at(retained->store, filter, order, topic_name);
    (void) pthread_mutex_unlock(&retained->lock);
    return cursor;
}

void
nmq_retained_close(nmq_retained *retained, nmq_retain_cursor *cursor)
{
    (void) pthread_mutex_lock(&retained->lock);
    nmq_retain_close(retained->store, cursor);
    (void) pthread_mutex_unlock(&retained->lock);
}

int
nmq_retained_step(nmq_retained *retained, nmq_retain_cursor *cursor, int64_t now_ms,
                  uint32_t *visits, nmq_message **out, uint32_t most)
{
    uint32_t now = *visits < STEP_VISITS ? *visits : STEP_VISITS;
    uint32_t left = now;

    (void) pthread_mutex_lock(&retained->lock);
    int count = nmq_retain_step(retained->store, cursor, now_ms, &left, out, most);
    (void) pthread_mutex_unlock(&retained->lock);
    *visits -= now - left;
    return count;
}

size_t
nmq_retained_count(nmq_retained *retained)
{
    (void) pthread_mutex_lock(&retained->lock);
    size_t count = nmq_retain_count(retained->store);
    (void) pthread_mutex_unlock(&retained->lock);
    return count;
}

uint64_t
nmq_retained_bytes(nmq_retained *retained)
{
    (void) pthread_mutex_lock(&retained->lock);
    uint64_t bytes = nmq_retain_bytes(retained->store);
    (void) pthread_mutex_unlock(&retained->lock);
    return bytes;
}
