#include "store/committer.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/log_room.h"
#include "store/log_round.h"

#define SLACK_NS 1000UL // of its timed waits; the system's is half of a fast sync

#define NS_OF_MS INT64_C(1000000)
#define NS_OF_S  INT64_C(1000000000)

struct nmq_committer {
    nmq_committer_options options; // gather_ms, lazy_ms, hold_ms, bytes_max, degrades: lock
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    nmq_committer_stats stats; // lock
    int64_t staged_ns;         // lock: since when something is staged; 0: nothing is
    uint64_t waiting;          // lock: who began to wait since the last commit began
    uint64_t enough; // lock: with so many records it gathers no more; 0: it does not
    nmq_flush_times flushes; // atomic
    bool stopped;            // lock
    bool joined;             // the caller's
    // the thread's own
    nmq_buf taken;
    nmq_commit_gather gather; // what was expected: lock
    int status;               // what `troubled` was told last
    nmq_log_room room;
    nmq_log_round round;
    bool is_due; // a commit, with or without records
};

static int64_t
now_ns(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * NS_OF_S + t.tv_nsec;
}

static uint64_t
asked(const nmq_committer *c)
{
    return nmq_journal_asked(c->options.journal);
}

// nmq_journal.wanted
static void
want(void *arg, bool waits)
{
    nmq_committer *c = arg;

    (void) pthread_mutex_lock(&c->lock);
    bool wakes = c->enough != 0 ? asked(c) >= c->enough : waits || c->staged_ns == 0;
    c->staged_ns = c->staged_ns != 0 ? c->staged_ns : now_ns();
    c->waiting += waits;
    if (wakes) {
        (void) pthread_cond_signal(&c->wake);
    }
    (void) pthread_mutex_unlock(&c->lock);
}

// --- when to commit; all with the lock

// Sleeps until then, or until somebody wants something. Returns whether it is not then yet.
static bool
sleep_until(nmq_committer *c, int64_t ns)
{
    const struct timespec at = {.tv_sec = (time_t) (ns / NS_OF_S),
                                .tv_nsec = (long) (ns % NS_OF_S)};

    return !c->stopped && pthread_cond_timedwait(&c->wake, &c->lock, &at) != ETIMEDOUT;
}

static int64_t
lazy_ns(const nmq_committer *c)
{
    uint32_t ms = c->options.lazy_ms;

    return (ms != 0 ? ms : NMQ_COMMITTER_LAZY_MS) * NS_OF_MS;
}

// When it is to do something though nobody waits; INT64_MAX: never.
static int64_t
due_ns(const nmq_committer *c)
{
    int64_t lazy = c->staged_ns != 0 ? c->staged_ns + lazy_ns(c) : INT64_MAX;
    int64_t look_ns = nmq_log_room_due_ns(&c->room);

    return lazy < look_ns ? lazy : look_ns;
}

// Waits until there is something to commit, or it is time to look for room.
static void
wait_for_work(nmq_committer *c)
{
    while (!c->stopped && c->waiting == 0 && !nmq_log_round_goes_on(&c->round) &&
           !c->is_due) {
        int64_t ns = due_ns(c);
        if (ns == INT64_MAX) {
            (void) pthread_cond_wait(&c->wake, &c->lock);
        } else if (!sleep_until(c, ns)) {
            return;
        }
    }
}

// Waits for more to come along.
static void
gather(nmq_committer *c)
{
    uint32_t ms = c->options.gather_ms;
    int64_t least_ns = ms != NMQ_GATHER_AUTO ? ms * NS_OF_MS : -1;
    int64_t ns = nmq_commit_gather_look(&c->gather, least_ns, asked(c), now_ns(), false);

    c->enough = least_ns < 0 ? c->gather.expected : UINT64_MAX;
    while (ns != 0 && !c->stopped) {
        (void) sleep_until(c, ns);
        ns = nmq_commit_gather_look(&c->gather, least_ns, asked(c), now_ns(), true);
    }
    c->enough = 0;
}

// --- a commit

static void
report(nmq_committer *c, int status)
{
    if (status != c->status) {
        c->status = status;
        c->options.troubled(c->options.arg, status, c->options.wal->segments.error);
    }
}

// Waits so long before the next attempt. Returns false once it is to stop.
static bool
pause_for(nmq_committer *c, uint32_t ms)
{
    int64_t until_ns = now_ns() + ms * NS_OF_MS;

    (void) pthread_mutex_lock(&c->lock);
    while (sleep_until(c, until_ns)) {
    }
    bool goes_on = !c->stopped;
    (void) pthread_mutex_unlock(&c->lock);
    return goes_on;
}

// Lets go who has waited for long enough while nothing can be written. *since_ns: since
// when they wait.
static void
let_go_unanswered(nmq_committer *c, int64_t *since_ns)
{
    (void) pthread_mutex_lock(&c->lock);
    uint32_t hold_ms = c->options.hold_ms;
    (void) pthread_mutex_unlock(&c->lock);
    if (now_ns() - *since_ns >= hold_ms * NS_OF_MS) {
        *since_ns = now_ns();
        c->options.expel(c->options.arg, false);
    }
}

static int
append_once(nmq_committer *c)
{
    const nmq_bytes bytes = {c->taken.at, c->taken.len};
    int64_t began_ns = now_ns();

    c->options.wal->segments.error = 0;
    nmq_flush_begin(&c->flushes, began_ns);
    int rv = nmq_wal_append(c->options.wal, bytes, nmq_clock_wall_ms());
    int64_t ended_ns = now_ns();
    nmq_flush_end(&c->flushes, ended_ns, rv == NMQ_OK);
    nmq_commit_gather_end(&c->gather, asked(c), began_ns, ended_ns);
    return rv;
}

// Appends what was taken, as soon as there is room. Returns NMQ_OK or why it is not safe.
static int
append(nmq_committer *c)
{
    int64_t since_ns = now_ns();
    uint32_t pause_ms = 0;
    int rv = append_once(c);

    while (rv == NMQ_ENOSPC || rv == NMQ_ENOMEM) {
        nmq_journal_set_room(c->options.journal, 0);
        report(c, rv);
        pause_ms = nmq_log_room_longer(pause_ms);
        if (!pause_for(c, pause_ms)) {
            return rv;
        }
        let_go_unanswered(c, &since_ns);
        rv = append_once(c);
    }
    return rv;
}

static void
count(nmq_committer *c)
{
    (void) pthread_mutex_lock(&c->lock);
    c->stats.commits++;
    c->stats.bytes += c->taken.len;
    (void) pthread_mutex_unlock(&c->lock);
}

// A commit is safe, up to that number.
static void
end_round(nmq_committer *c, uint64_t number)
{
    if (nmq_log_round_end(&c->round, number)) {
        c->room.live = c->round.told;
        c->room.in_epochs = true;
        c->is_due = true; // segments are free once a commit says so on the disk
        (void) pthread_mutex_lock(&c->lock);
        c->stats.rounds++;
        (void) pthread_mutex_unlock(&c->lock);
    }
}

// Returns NMQ_OK or NMQ_EIO.
static int
look_for_room(nmq_committer *c)
{
    uint64_t first = 0;
    uint64_t live = c->options.live != NULL ? c->options.live(c->options.arg, &first) : 0;
    const uint64_t *told = nmq_log_round_goes_on(&c->round) ? &c->round.told : NULL;
    int rv = nmq_log_room_look(&c->room, live, first, told, now_ns());

    (void) pthread_mutex_lock(&c->lock);
    nmq_log_room_measure(&c->room, &c->stats);
    (void) pthread_mutex_unlock(&c->lock);
    if (rv != NMQ_EIO) {
        report(c, rv);
    }
    return rv == NMQ_EIO ? rv : NMQ_OK;
}

// What a peak has left is given back: the buffer is the journal's next.
static void
shrink(nmq_committer *c)
{
    if (c->taken.cap > NMQ_JOURNAL_KEPT_BYTES &&
        (c->taken.len < c->taken.cap / 4 ||
         nmq_journal_look(c->options.journal).staged == 0)) {
        nmq_buf_free(&c->taken);
    }
}

// Returns NMQ_OK, or why nothing more is safe.
static int
commit(nmq_committer *c)
{
    bool is_time = nmq_log_room_is_time(&c->room);
    nmq_commit_gather_take(&c->gather, asked(c));
    uint64_t number = nmq_log_round_take(&c->round, is_time, &c->taken);

    if (c->taken.len > 0 || c->is_due || nmq_log_round_is_told(&c->round)) {
        nmq_log_round_count(&c->round, c->taken.len);
        int rv = append(c);
        if (rv != NMQ_OK) {
            return rv;
        }
        c->room.look_ns = c->is_due ? 0 : c->room.look_ns;
        c->is_due = false;
        nmq_journal_written(c->options.journal);
        end_round(c, number);
        count(c);
        c->options.settled(c->options.arg, number);
    }
    shrink(c);
    // what was staged before the record that is missing is whole
    return nmq_journal_has_failed(c->options.journal) ? NMQ_ESTORE : look_for_room(c);
}

// --- the end of a log

static bool
degrades(nmq_committer *c)
{
    (void) pthread_mutex_lock(&c->lock);
    bool does = c->options.degrades;
    (void) pthread_mutex_unlock(&c->lock);
    return does;
}

// Waits until somebody waits for the journal again. Returns false once it is to stop.
static bool
wait_for_waiting(nmq_committer *c)
{
    (void) pthread_mutex_lock(&c->lock);
    while (!c->stopped && c->waiting == 0) {
        (void) pthread_cond_wait(&c->wake, &c->lock);
    }
    c->waiting = 0;
    bool goes_on = !c->stopped;
    (void) pthread_mutex_unlock(&c->lock);
    return goes_on;
}

// Nothing is written any more.
static void
break_off(nmq_committer *c, int status)
{
    nmq_buf_free(&c->taken);
    nmq_journal_break(c->options.journal, !degrades(c));
    report(c, status);
    while (!degrades(c)) {
        c->options.expel(c->options.arg, true);
        if (!wait_for_waiting(c)) {
            return;
        }
    }
    nmq_journal_break(c->options.journal, false);
    c->options.settled(c->options.arg, NMQ_JOURNAL_NEVER);
}

static void *
run(void *arg)
{
    nmq_committer *c = arg;
    bool stopped = false;
    int rv = NMQ_OK;

    (void) prctl(PR_SET_TIMERSLACK, SLACK_NS, 0UL, 0UL, 0UL);
    while (rv == NMQ_OK && !stopped) {
        (void) pthread_mutex_lock(&c->lock);
        wait_for_work(c);
        gather(c);
        stopped = c->stopped;
        c->waiting = 0;
        c->staged_ns = 0;
        (void) pthread_mutex_unlock(&c->lock);
        nmq_log_round_tell(&c->round);
        rv = commit(c);
    }
    if (rv == NMQ_EIO || rv == NMQ_ESTORE) {
        break_off(c, rv);
    }
    return NULL;
}

// --- from outside

int
nmq_committer_new(const nmq_committer_options *options, nmq_committer **out)
{
    nmq_committer *c = nmq_zalloc(sizeof *c);

    if (c == NULL) {
        return NMQ_ENOMEM;
    }
    c->options = *options;
    nmq_log_room_init(&c->room, options->wal, options->journal, options->bytes_max);
    c->round = (nmq_log_round){.wal = options->wal,
                               .journal = options->journal,
                               .begin_anew = options->begin_anew,
                               .tell = options->tell,
                               .arg = options->arg};
    NMQ_LIVE_SET(options->journal->hold_ms, options->hold_ms);
    nmq_log_room_measure(&c->room, &c->stats);
    (void) pthread_mutex_init(&c->lock, NULL);
    nmq_clock_cond_init(&c->wake);
    options->journal->wanted = want;
    options->journal->arg = c;
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        options->journal->wanted = NULL;
        (void) pthread_cond_destroy(&c->wake);
        (void) pthread_mutex_destroy(&c->lock);
        nmq_free(c);
        return NMQ_ENOMEM;
    }
    *out = c;
    return NMQ_OK;
}

void
nmq_committer_stop(nmq_committer *committer)
{
    if (committer == NULL || committer->joined) {
        return;
    }
    (void) pthread_mutex_lock(&committer->lock);
    committer->stopped = true;
    (void) pthread_cond_signal(&committer->wake);
    (void) pthread_mutex_unlock(&committer->lock);
    (void) pthread_join(committer->thread, NULL);
    committer->joined = true;
}

void
nmq_committer_free(nmq_committer *committer)
{
    if (committer == NULL) {
        return;
    }
    nmq_committer_stop(committer);
    (void) pthread_cond_destroy(&committer->wake);
    (void) pthread_mutex_destroy(&committer->lock);
    nmq_buf_free(&committer->taken);
    nmq_free(committer);
}

void
nmq_committer_set_times(nmq_committer *committer, uint32_t gather_ms, uint32_t lazy_ms)
{
    (void) pthread_mutex_lock(&committer->lock);
    committer->options.gather_ms = gather_ms;
    committer->options.lazy_ms = lazy_ms;
    (void) pthread_cond_signal(&committer->wake);
    (void) pthread_mutex_unlock(&committer->lock);
}

void
nmq_committer_set_policy(nmq_committer *committer, uint64_t bytes_max, uint32_t hold_ms,
                         bool degrades)
{
    (void) pthread_mutex_lock(&committer->lock);
    NMQ_LIVE_SET(committer->room.bytes_max, bytes_max);
    committer->options.hold_ms = hold_ms;
    committer->options.degrades = degrades;
    NMQ_LIVE_SET(committer->options.journal->hold_ms, hold_ms);
    committer->waiting++; // it looks at what has changed
    (void) pthread_cond_signal(&committer->wake);
    (void) pthread_mutex_unlock(&committer->lock);
}

nmq_committer_stats
nmq_committer_look(nmq_committer *committer)
{
    (void) pthread_mutex_lock(&committer->lock);
    nmq_committer_stats stats = committer->stats;
    stats.room = NMQ_LIVE(committer->options.journal->left);
    (void) pthread_mutex_unlock(&committer->lock);
    stats.flushes = nmq_flush_look(&committer->flushes, now_ns());
    return stats;
}
