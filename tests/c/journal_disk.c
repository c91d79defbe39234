#include "journal_disk.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "broker.h"
#include "net/settler.h"
#include "route/durable.h"
#include "route/retell.h"
#include "store/committer.h"
#include "store/wal_recover.h"

struct disk_journal {
    nmq_settler settler; // first
    nmq_journal journal;
    nmq_wal wal;
    nmq_committer *committer;
    nmq_retell retell;
    nmq_consumers *consumers;
    int status; // atomic
    int error;  // atomic
};

// nmq_committer_options.troubled
static void
note_trouble(void *arg, int status, int error)
{
    disk_journal *j = arg;

    NMQ_LIVE_SET(j->error, error);
    NMQ_LIVE_SET(j->status, status);
}

// nmq_committer_options.begin_anew
static uint64_t
begin_anew(void *arg, nmq_buf *out)
{
    disk_journal *j = arg;

    j->retell = (nmq_retell){.sessions = j->consumers->sessions, .consumers = j->consumers};
    return nmq_durable_begin_anew(j->consumers->sessions->router, out);
}

// nmq_committer_options.tell
static int
tell(void *arg)
{
    return nmq_retell_step(&((disk_journal *) arg)->retell);
}

disk_journal *
disk_journal_new(nmq_broker *broker, test_disk *disk, uint64_t full_bytes,
                 uint32_t gather_ms)
{
    const nmq_wal_options options = {.segment_bytes = 1 << 17, .bytes_max = 1 << 28};
    disk_journal *j = nmq_zalloc(sizeof *j);
    nmq_wal_found found;

    if (j == NULL) {
        return NULL;
    }
    nmq_journal_init(&j->journal, full_bytes, NULL, NULL);
    j->consumers = nmq_broker_consumers(broker);
    nmq_settler_init(&j->settler, nmq_broker_router(broker));
    const nmq_committer_options how = {.journal = &j->journal,
                                       .wal = &j->wal,
                                       .settled = nmq_settler_settled,
                                       .troubled = note_trouble,
                                       .begin_anew = begin_anew,
                                       .tell = tell,
                                       .arg = j,
                                       .gather_ms = gather_ms};
    if (nmq_wal_open(&j->wal, test_disk_of(disk), &options, &found) != NMQ_OK ||
        nmq_committer_new(&how, &j->committer) != NMQ_OK) {
        disk_journal_free(j);
        return NULL;
    }
    nmq_durable_begin(nmq_broker_router(broker), &j->journal);
    return j;
}

void
disk_journal_stop(disk_journal *journal)
{
    nmq_committer_stop(journal->committer);
    nmq_settler_fini(&journal->settler);
}

void
disk_journal_free(disk_journal *journal)
{
    nmq_committer_free(journal->committer);
    nmq_wal_close(&journal->wal);
    nmq_journal_fini(&journal->journal);
    nmq_free(journal);
}

uint64_t
disk_journal_rounds(disk_journal *journal)
{
    return nmq_committer_look(journal->committer).rounds;
}

uint64_t
disk_journal_commits(disk_journal *journal)
{
    return nmq_committer_look(journal->committer).commits;
}

int
disk_journal_status(disk_journal *journal, int *error)
{
    *error = NMQ_LIVE(journal->error);
    return NMQ_LIVE(journal->status);
}

bool
disk_journal_is_full(disk_journal *journal)
{
    return NMQ_LIVE(journal->journal.full);
}
