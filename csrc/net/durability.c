#include "net/durability.h"

#include <stdio.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "net/log_trouble.h"
#include "net/settler.h"
#include "route/durable.h"
#include "route/handover_restore.h"
#include "route/retell.h"
#include "store/journal_topics.h"
#include "store/wal_block.h"

// What records of one take at most, as a rule, besides what it holds.
enum {
    MESSAGE_BYTES = 128,
    SESSION_BYTES = 512,
    EPOCH_SHARE = 8, // of what is live, the part that is in the oldest epochs; a guess
};

enum {
    LEAST_SEGMENTS = 8, // of a log, reserve and all
    FOLDER_BYTES = 256, // of its name in the log, at most
};

struct nmq_durability {
    nmq_durability_options
        options; // on_error, log.bytes_max: NMQ_LIVE; folder is not there
    char folder[FOLDER_BYTES];
    nmq_journal journal;
    nmq_wal wal;
    nmq_settler settler;
    nmq_committer *committer; // NULL: not yet
    nmq_retell retell;        // the committer's
    int status;               // NMQ_LIVE: what the committer has told last
    int error;                // NMQ_LIVE: the same
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    bool is_whole;  // NMQ_LIVE: all that was read or left is there, and can be told again
    bool stopped;   // the caller's
    bool took_over; // what the process before has left
};

// nmq_committer_options.settled
static void
settled(void *arg, uint64_t number)
{
    nmq_durability *d = arg;

    nmq_settler_settled(&d->settler, number);
}

// nmq_committer_options.expel
static void
expel(void *arg, bool for_good)
{
    nmq_durability *d = arg;

    nmq_settler_expel(&d->settler, for_good);
}

// nmq_committer_options.troubled
static void
troubled(void *arg, int status, int error)
{
    nmq_durability *d = arg;
    const nmq_log_trouble trouble = {.folder = d->folder,
                                     .status = status,
                                     .before = d->status,
                                     .error = error,
                                     .on_error = NMQ_LIVE(d->options.on_error)};

    NMQ_LIVE_SET(d->error, error); // who is told finds it so
    NMQ_LIVE_SET(d->status, status);
    nmq_log_trouble_tell(d->sessions->router, &trouble);
    if (d->options.troubled != NULL) {
        d->options.troubled(d->options.arg, status, error);
    }
}

// nmq_committer_options.live
static uint64_t
live(void *arg, uint64_t *first)
{
    const nmq_durability *d = arg;
    nmq_registry *registry = &d->sessions->registry;
    nmq_retained *retained = d->sessions->router->retained;
    uint64_t messages, bytes;

    nmq_message_totals(&messages, &bytes);
    (void) pthread_mutex_lock(&registry->lock);
    uint64_t sessions = registry->clients.count;
    (void) pthread_mutex_unlock(&registry->lock);
    uint64_t others =
        sessions * SESSION_BYTES +
        nmq_counters_sum(d->sessions->router->counters, NMQ_COUNT_SUBSCRIPTION_BYTES);
    uint64_t all = bytes + messages * MESSAGE_BYTES + others;
    (void) pthread_mutex_lock(&retained->lock);
    *first = others + nmq_retain_bytes(retained->store) +
             nmq_retain_count(retained->store) * MESSAGE_BYTES + all / EPOCH_SHARE;
    (void) pthread_mutex_unlock(&retained->lock);
    return all;
}

// nmq_committer_options.begin_anew: a session that is not let in yet would not be told
// again
static uint64_t
begin_anew(void *arg, nmq_buf *out, bool is_round)
{
    nmq_durability *d = arg;

    if (!NMQ_LIVE(d->is_whole)) {
        return 0;
    }
    if (is_round) {
        d->retell = (nmq_retell){
            .sessions = d->sessions, .consumers = d->consumers, .bytes = NMQ_RETELL_BYTES};
    }
    return nmq_durable_begin_anew(d->sessions->router, out, is_round);
}

// nmq_committer_options.tell
static bool
tell(void *arg, uint32_t *needed_from)
{
    nmq_durability *d = arg;
    bool more = nmq_retell_step(&d->retell);

    *needed_from = d->retell.needed_from;
    return more;
}

// A log that is read.
typedef struct {
    nmq_handover_reader reader;
    const nmq_wal *wal;
} replayer;

// nmq_wal_commit_fn: ahead
static int
count_commit(void *arg, uint64_t sequence, nmq_bytes records)
{
    (void) sequence;
    return nmq_handover_count(arg, records);
}

// nmq_wal_commit_fn
static int
take_commit(void *arg, uint64_t sequence, nmq_bytes records)
{
    replayer *r = arg;

    (void) sequence;
    return nmq_handover_log_take(&r->reader, r->wal->wall_ms, records);
}

static bool
degrades(uint8_t on_error)
{
    return on_error == NMQ_DURABILITY_DEGRADE;
}

static int
start_committer(nmq_durability *d)
{
    const nmq_committer_options how = {.journal = &d->journal,
                                       .wal = &d->wal,
                                       .settled = settled,
                                       .expel = expel,
                                       .troubled = troubled,
                                       .live = live,
                                       .begin_anew = begin_anew,
                                       .tell = tell,
                                       .arg = d,
                                       .gather_ms = d->options.gather_ms,
                                       .lazy_ms = d->options.interval_ms,
                                       .hold_ms = d->options.hold_ms,
                                       .bytes_max = d->options.log.bytes_max,
                                       .degrades = degrades(d->options.on_error)};

    return nmq_committer_new(&how, &d->committer);
}

// Becomes what the log says. Returns how many sessions there are, or why not.
static int
replay(nmq_durability *d, const nmq_handover_uses *uses, nmq_wal_found *found)
{
    bool skip = d->options.log.skip;
    const nmq_handover_log log = {
        .uses = *uses, .over_ms = d->wal.wall_ms, .lenient = skip};
    replayer r = {.wal = &d->wal};

    nmq_handover_log_begin(&r.reader, d->sessions, d->consumers, &log);
    int rv = nmq_wal_replay(&d->wal, skip, take_commit, &r);
    rv = rv == NMQ_OK ? start_committer(d) : rv;
    if (rv != NMQ_OK) {
        nmq_handover_log_cancel(&r.reader);
        return rv;
    }
    rv = nmq_handover_log_end(&r.reader, &d->journal, &found->passed);
    NMQ_LIVE_SET(d->is_whole, rv >= 0);
    return rv;
}

// Makes room for what was left in front of all that the log has. Returns NMQ_OK; NMQ_ENOSPC
// or NMQ_ENOMEM: there is none, or nothing was left; or NMQ_EIO.
static int
make_room_for_left(nmq_durability *d)
{
    uint64_t bytes = d->options.left.len;
    uint64_t most = bytes + bytes / 8;

    if (bytes == 0 || nmq_wal_room(&d->wal) <= most) {
        return NMQ_ENOSPC;
    }
    return nmq_wal_reserve(&d->wal, most); // else nobody could come while the disk is full
}

// Becomes what the process before has left. Returns how many sessions there are, or why
// not; then the router logs already, and what the log says stays.
static int
take_over(nmq_durability *d)
{
    nmq_retained *retained = d->sessions->router->retained;
    uint32_t at = 0;

    nmq_durable_begin(d->sessions->router, &d->journal);
    int sessions = nmq_handover_restore(d->sessions, d->consumers, d->options.left);
    if (sessions < 0) {
        return sessions;
    }
    while (nmq_retained_retell(retained, &at)) { // in the order that they have now
    }
    nmq_wal_keep_from(&d->wal, d->wal.sequence);
    NMQ_LIVE_SET(d->is_whole, true);
    int rv = start_committer(d);
    if (rv != NMQ_OK) {
        return rv;
    }
    d->journal.wanted(d->journal.arg, true);
    d->took_over = true;
    return sessions;
}

// Opens the log that is on the disk, and becomes what it says, or what was left. Returns
// as these.
static int
read_log(nmq_durability *d, nmq_disk *disk, const nmq_wal_options *log,
         nmq_wal_found *found)
{
    nmq_handover_uses uses = {0};
    nmq_wal_options how = *log;

    how.ahead = count_commit;
    how.ahead_arg = &uses;
    int rv = nmq_wal_open(&d->wal, disk, &how, found);
    int room = rv == NMQ_OK ? make_room_for_left(d) : rv;
    if (rv == NMQ_OK && (room == NMQ_ENOSPC || room == NMQ_ENOMEM)) {
        return replay(d, &uses, found);
    }
    nmq_handover_uses_fini(&uses);
    return room == NMQ_OK ? take_over(d) : room;
}

// What the log itself is told. The committer keeps to bytes_max, by what it lets in; what
// was let in is written, and what is live is told again, even where that was misjudged.
static nmq_wal_options
log_options(const nmq_wal_options *asked)
{
    uint64_t most = asked->bytes_max / LEAST_SEGMENTS;
    nmq_wal_options log = *asked;

    most -= most % NMQ_WAL_PAGE_BYTES;
    log.segment_bytes = most < log.segment_bytes && most > 0 ? most : log.segment_bytes;
    log.bytes_max = asked->bytes_max < UINT64_MAX / 2 ? 2 * asked->bytes_max : UINT64_MAX;
    return log;
}

int
nmq_durability_open(nmq_sessions *sessions, nmq_consumers *consumers, nmq_disk *disk,
                    const nmq_durability_options *options, nmq_wal_found *found, int *error,
                    nmq_durability **out)
{
    nmq_durability *d = nmq_zalloc(sizeof *d);

    if (d == NULL) {
        return NMQ_ENOMEM;
    }
    d->options = *options;
    d->options.folder = NULL;
    d->options.topics = (nmq_bytes){0}; // the journal has them
    (void) snprintf(d->folder, sizeof d->folder, "%s",
                    options->folder != NULL ? options->folder : "memory");
    d->sessions = sessions;
    d->consumers = consumers;
    const nmq_wal_options log = log_options(&options->log);
    uint64_t full_bytes =
        options->full_bytes < log.segment_bytes ? options->full_bytes : log.segment_bytes;
    nmq_journal_init(&d->journal, full_bytes, NULL, NULL);
    if (options->interval_ms != 0) {
        nmq_journal_let_go(&d->journal);
    }
    nmq_settler_init(&d->settler, sessions->router);
    int rv = nmq_journal_set_topics(&d->journal, options->topics);
    rv = rv == NMQ_OK ? read_log(d, disk, &log, found) : rv;
    d->options.left = (nmq_bytes){0};
    *error = d->wal.segments.error;
    if (rv < 0 && sessions->router->journal == NULL) { // else it logs already
        nmq_durability_stop(d);
        nmq_durability_free(d);
        return rv;
    }
    *out = d;
    return rv;
}

int
nmq_durability_set(nmq_durability *durability, const nmq_durability_options *options)
{
    const nmq_wal_options log = log_options(&options->log);

    if (nmq_journal_set_topics(&durability->journal, options->topics) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    NMQ_LIVE_SET(durability->wal.segments.bytes_max, log.bytes_max);
    NMQ_LIVE_SET(durability->options.log.bytes_max, options->log.bytes_max);
    NMQ_LIVE_SET(durability->options.on_error, options->on_error);
    nmq_committer_set_times(durability->committer, options->gather_ms,
                            options->interval_ms);
    nmq_committer_set_policy(durability->committer, options->log.bytes_max,
                             options->hold_ms, degrades(options->on_error));
    return NMQ_OK;
}

void
nmq_durability_stop(nmq_durability *durability)
{
    if (!durability->stopped) {
        durability->stopped = true;
        nmq_committer_stop(durability->committer);
        nmq_settler_fini(&durability->settler);
    }
}

void
nmq_durability_free(nmq_durability *durability)
{
    if (durability != NULL) {
        nmq_committer_free(durability->committer);
        nmq_wal_close(&durability->wal);
        nmq_journal_fini(&durability->journal);
        nmq_free(durability);
    }
}

bool
nmq_durability_took_over(const nmq_durability *durability)
{
    return durability->took_over;
}

nmq_committer_stats
nmq_durability_look(nmq_durability *durability)
{
    return nmq_committer_look(durability->committer);
}

int
nmq_durability_report(nmq_durability *durability, nmq_durability_stats *out, int *error)
{
    int status = NMQ_LIVE(durability->status);
    const nmq_committer_stats done = nmq_committer_look(durability->committer);
    const nmq_journal_load load = nmq_journal_look(&durability->journal);
    uint64_t most = NMQ_LIVE(durability->options.log.bytes_max);

    *out = (nmq_durability_stats){
        .commits = done.commits,
        .bytes = done.bytes,
        .live = done.live,
        .used = done.used,
        .room = load.left < most ? load.left : most,
        .size = done.size,
        .max_size = most,
        .segments = done.segments,
        .rounds = done.rounds,
        .flushed_us = done.flushes.total_us,
        .flush_p50_us = done.flushes.p50_us,
        .flush_p99_us = done.flushes.p99_us,
        .flush_max_us = done.flushes.max_us,
        .flush_now_us = done.flushes.now_us,
        .waiting = load.waiting,
        .staged = load.staged,
        .full = status == NMQ_ENOSPC || status == NMQ_ENOMEM,
    };
    *error = NMQ_LIVE(durability->error);
    return status;
}

bool
nmq_durability_is_full(const nmq_durability *durability)
{
    return NMQ_LIVE(durability->journal.full);
}
