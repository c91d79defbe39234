#include "net/durability.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "net/settler.h"
#include "route/durable.h"
#include "route/handover_restore.h"
#include "route/retell.h"

struct nmq_durability {
    nmq_durability_options options;
    nmq_journal journal;
    nmq_wal wal;
    nmq_settler settler;
    nmq_committer *committer; // NULL: not yet
    nmq_retell retell;        // the committer's
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    bool stopped; // the caller's
};

// nmq_committer_options.settled
static void
settled(void *arg, uint64_t number)
{
    nmq_durability *d = arg;

    nmq_settler_settled(&d->settler, number);
}

// nmq_committer_options.troubled
static void
troubled(void *arg, int status, int error)
{
    const nmq_durability *d = arg;

    d->options.troubled(d->options.arg, status, error);
}

// nmq_committer_options.begin_anew
static uint64_t
begin_anew(void *arg, nmq_buf *out)
{
    nmq_durability *d = arg;

    d->retell = (nmq_retell){.sessions = d->sessions, .consumers = d->consumers};
    return nmq_durable_begin_anew(d->sessions->router, out);
}

// nmq_committer_options.tell
static int
tell(void *arg)
{
    nmq_durability *d = arg;

    return nmq_retell_step(&d->retell);
}

// nmq_wal_commit_fn
static int
take_commit(void *arg, uint64_t sequence, nmq_bytes records)
{
    (void) sequence;
    return nmq_handover_log_take(arg, records);
}

static int
start_committer(nmq_durability *d)
{
    const nmq_committer_options how = {.journal = &d->journal,
                                       .wal = &d->wal,
                                       .settled = settled,
                                       .troubled = troubled,
                                       .begin_anew = begin_anew,
                                       .tell = tell,
                                       .arg = d,
                                       .gather_ms = d->options.gather_ms};

    return nmq_committer_new(&how, &d->committer);
}

// Becomes what the log says. Returns how many sessions there are, or why not.
static int
replay(nmq_durability *d)
{
    nmq_handover_reader reader;

    nmq_handover_log_begin(&reader, d->sessions, d->consumers);
    int rv = nmq_wal_replay(&d->wal, d->options.log.skip, take_commit, &reader);
    rv = rv == NMQ_OK ? start_committer(d) : rv;
    if (rv != NMQ_OK) {
        nmq_handover_log_cancel(&reader);
        return rv;
    }
    return nmq_handover_log_end(&reader, &d->journal);
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
    d->sessions = sessions;
    d->consumers = consumers;
    nmq_journal_init(&d->journal, options->full_bytes, NULL, NULL);
    nmq_settler_init(&d->settler, sessions->router);
    int rv = nmq_wal_open(&d->wal, disk, &options->log, found);
    rv = rv == NMQ_OK ? replay(d) : rv;
    *error = d->wal.segments.error;
    if (rv < 0 && d->committer == NULL) { // else the router logs already
        nmq_durability_stop(d);
        nmq_durability_free(d);
        return rv;
    }
    *out = d;
    return rv;
}

void
nmq_durability_set(nmq_durability *durability, const nmq_durability_options *options)
{
    NMQ_LIVE_SET(durability->wal.segments.bytes_max, options->log.bytes_max);
    nmq_committer_set_gather(durability->committer, options->gather_ms);
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

nmq_committer_stats
nmq_durability_look(nmq_durability *durability)
{
    return nmq_committer_look(durability->committer);
}

bool
nmq_durability_is_full(const nmq_durability *durability)
{
    return NMQ_LIVE(durability->journal.full);
}
