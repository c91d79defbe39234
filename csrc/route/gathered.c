#include "route/gathered.h"

#include "base/clock.h"
#include "base/status.h"

// nmq_record_sink.put
static void
put(nmq_record_sink *sink, const nmq_journal_record *record)
{
    nmq_gathered *all = (nmq_gathered *) (void *) sink;

    sink->rv = sink->rv == NMQ_OK ? nmq_journal_put(&all->records, record) : sink->rv;
}

// nmq_record_sink.message
static uint64_t
number_of(nmq_record_sink *sink, nmq_message *message)
{
    return nmq_journal_add_message(((nmq_gathered *) (void *) sink)->journal, message);
}

void
nmq_gather(nmq_gathered *all, nmq_journal *journal)
{
    const nmq_moment now = {.wall_ms = nmq_clock_wall_ms(), .clock_ms = nmq_clock_now_ms()};

    *all =
        (nmq_gathered){.base = {.put = put, .message = number_of, .logs = true, .now = now},
                       .journal = journal};
    nmq_journal_open(journal, &all->group);
}

void
nmq_gathered_append(nmq_gathered *all, nmq_session_log *log, uint64_t *number, bool again)
{
    const nmq_bytes records = {all->records.at, all->records.len};

    log->latest = all->base.rv == NMQ_OK
                      ? nmq_journal_append_session(all->journal, records, number, again)
                      : nmq_journal_fail(all->journal);
    nmq_journal_close(all->journal, &all->group);
    nmq_buf_free(&all->records);
    nmq_buf_free(&all->base.ids);
}
