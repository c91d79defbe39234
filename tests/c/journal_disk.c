#include "journal_disk.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "broker.h"
#include "net/durability.h"

struct disk_journal {
    nmq_router *router;
    nmq_durability_options options;
    nmq_durability *durability;
    int status; // atomic
    int error;  // atomic
};

// nmq_durability_options.troubled
static void
note_trouble(void *arg, int status, int error)
{
    disk_journal *j = arg;

    NMQ_LIVE_SET(j->error, error);
    NMQ_LIVE_SET(j->status, status);
}

int
disk_journal_open(nmq_broker *broker, nmq_disk *disk, const disk_journal_options *asked,
                  disk_journal **out)
{
    nmq_consumers *consumers = nmq_broker_consumers(broker);
    disk_journal *j = nmq_zalloc(sizeof *j);
    nmq_wal_found found;
    int error;

    if (j == NULL) {
        return NMQ_ENOMEM;
    }
    j->router = consumers->sessions->router;
    j->options = (nmq_durability_options){
        .log = {.segment_bytes = asked->segment_bytes, .bytes_max = asked->bytes_max},
        .full_bytes = asked->full_bytes,
        .gather_ms = asked->gather_ms,
        .hold_ms = asked->hold_ms,
        .on_error = asked->on_error,
        .topics = {(const uint8_t *) asked->topics, asked->topics_len},
        .troubled = note_trouble,
        .arg = j};
    int rv = nmq_durability_open(consumers->sessions, consumers, disk, &j->options, &found,
                                 &error, &j->durability);
    if (rv < 0) {
        nmq_free(j);
        return rv;
    }
    j->options.topics = (nmq_bytes){0};
    *out = j;
    return rv;
}

void
disk_journal_stop(disk_journal *journal)
{
    nmq_durability_stop(journal->durability);
}

void
disk_journal_free(disk_journal *journal)
{
    nmq_durability_free(journal->durability);
    nmq_free(journal);
}

void
disk_journal_set_hold(disk_journal *journal, uint32_t hold_ms)
{
    journal->options.hold_ms = hold_ms;
    (void) nmq_durability_set(journal->durability, &journal->options);
}

void
disk_journal_set_topics(disk_journal *journal, const char *topics, uint32_t topics_len)
{
    journal->options.topics = (nmq_bytes){(const uint8_t *) topics, topics_len};
    (void) nmq_durability_set(journal->durability, &journal->options);
    journal->options.topics = (nmq_bytes){0};
}

uint64_t
disk_journal_staged(disk_journal *journal)
{
    nmq_journal *of = journal->router->journal;

    (void) pthread_mutex_lock(&of->lock);
    uint64_t bytes = of->staged.len;
    (void) pthread_mutex_unlock(&of->lock);
    return bytes;
}

void
disk_journal_lose_record(disk_journal *journal)
{
    (void) nmq_journal_fail(journal->router->journal);
}

uint64_t
disk_journal_rounds(disk_journal *journal)
{
    return nmq_durability_look(journal->durability).rounds;
}

uint64_t
disk_journal_commits(disk_journal *journal)
{
    return nmq_durability_look(journal->durability).commits;
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
    return nmq_durability_is_full(journal->durability);
}

void
disk_journal_report(disk_journal *journal, nmq_durability_stats *out)
{
    int error;

    (void) nmq_durability_report(journal->durability, out, &error);
}
