#include "journal_memory.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "broker.h"
#include "route/durable.h"
#include "route/handover_restore.h"
#include "route/retell.h"
#include "store/journal_topics.h"

struct test_journal {
    nmq_journal journal;
    nmq_router *router;
    nmq_retell retell;
    nmq_consumers *consumers;
    nmq_buf staged;
    nmq_buf written;
    nmq_journal_group groups[4];
    bool wanted; // atomic
    uint64_t read_messages;
};

static void
want(void *arg, bool waits)
{
    test_journal *journal = arg;

    if (waits) {
        __atomic_store_n(&journal->wanted, true, __ATOMIC_RELAXED);
    }
}

test_journal *
test_journal_new(nmq_broker *broker)
{
    test_journal *journal = nmq_zalloc(sizeof *journal);

    if (journal != NULL) {
        nmq_journal_init(&journal->journal, 0, want, journal);
        journal->router = nmq_broker_router(broker);
        journal->consumers = nmq_broker_consumers(broker);
        nmq_durable_begin(journal->router, &journal->journal);
    }
    return journal;
}

// A commit.
typedef struct {
    nmq_bytes records;
    int64_t wall_ms;
} part;

// Becomes what the commits say. Returns whether they can be.
static bool
read_parts(test_journal *journal, const part *parts, int count, uint64_t *passed)
{
    nmq_handover_log how = {.over_ms = parts[count - 1].wall_ms, .lenient = passed != NULL};
    nmq_handover_reader reader;
    uint64_t bytes, none;

    for (int i = 0; i < count; i++) {
        if (nmq_handover_count(&how.uses, parts[i].records) != NMQ_OK) {
            return false;
        }
    }
    nmq_handover_log_begin(&reader, journal->consumers->sessions, journal->consumers, &how);
    for (int i = 0; i < count; i++) {
        if (nmq_handover_log_take(&reader, parts[i].wall_ms, parts[i].records) != NMQ_OK) {
            nmq_handover_log_cancel(&reader);
            return false;
        }
    }
    nmq_message_totals(&journal->read_messages, &bytes);
    passed = passed != NULL ? passed : &none;
    return nmq_handover_log_end(&reader, &journal->journal, passed) >= 0;
}

static test_journal *
over(nmq_broker *broker, const part *parts, int count, uint64_t *passed)
{
    test_journal *journal = nmq_zalloc(sizeof *journal);

    if (journal == NULL) {
        return NULL;
    }
    nmq_journal_init(&journal->journal, 0, want, journal);
    journal->router = nmq_broker_router(broker);
    journal->consumers = nmq_broker_consumers(broker);
    bool is_well = read_parts(journal, parts, count, passed);
    for (int i = 0; i < count && is_well; i++) {
        is_well = nmq_buf_put(&journal->written, parts[i].records) == NMQ_OK;
    }
    if (!is_well) {
        test_journal_free(journal);
        return NULL;
    }
    return journal;
}

test_journal *
test_journal_over(nmq_broker *broker, const char *log, size_t len, int64_t over_ms,
                  uint64_t *passed)
{
    const part one = {{(const uint8_t *) log, len}, over_ms};

    return over(broker, &one, 1, passed);
}

test_journal *
test_journal_over_two(nmq_broker *broker, const char *first, size_t first_len,
                      int64_t first_ms, const char *second, size_t second_len,
                      int64_t second_ms)
{
    const part parts[] = {{{(const uint8_t *) first, first_len}, first_ms},
                          {{(const uint8_t *) second, second_len}, second_ms}};

    return over(broker, parts, 2, NULL);
}

uint64_t
test_journal_read_messages(const test_journal *journal)
{
    return journal->read_messages;
}

void
test_journal_free(test_journal *journal)
{
    nmq_journal_fini(&journal->journal);
    nmq_buf_free(&journal->staged);
    nmq_buf_free(&journal->written);
    nmq_free(journal);
}

uint64_t
test_journal_take(test_journal *journal)
{
    uint64_t number = nmq_journal_take(&journal->journal, &journal->staged);
    const nmq_bytes staged = {journal->staged.at, journal->staged.len};

    return nmq_buf_put(&journal->written, staged) == NMQ_OK ? number : 0;
}

uint64_t
test_journal_begin_anew(test_journal *journal, bool is_round, size_t *at)
{
    uint64_t number = nmq_durable_begin_anew(journal->router, &journal->staged, is_round);
    const nmq_bytes staged = {journal->staged.at, journal->staged.len};

    if (is_round) {
        journal->retell = (nmq_retell){.sessions = journal->consumers->sessions,
                                       .consumers = journal->consumers,
                                       .bytes = 1};
    }
    number = nmq_buf_put(&journal->written, staged) == NMQ_OK ? number : 0;
    *at = journal->written.len;
    return number;
}

int
test_journal_retell(test_journal *journal)
{
    return nmq_retell_step(&journal->retell);
}

uint32_t
test_journal_epoch(const test_journal *journal)
{
    return nmq_journal_epoch(&journal->journal);
}

uint32_t
test_journal_needed_from(const test_journal *journal)
{
    return journal->retell.needed_from;
}

void
test_journal_settle(test_journal *journal, uint64_t number)
{
    nmq_durable_settle(journal->router, number);
}

void
test_journal_open(test_journal *journal, int group)
{
    nmq_journal_open(&journal->journal, &journal->groups[group]);
}

void
test_journal_close(test_journal *journal, int group)
{
    nmq_journal_close(&journal->journal, &journal->groups[group]);
}

void
test_journal_set_full(test_journal *journal, bool full)
{
    __atomic_store_n(&journal->journal.full, full, __ATOMIC_RELAXED);
}

bool
test_journal_is_wanted(test_journal *journal)
{
    return __atomic_exchange_n(&journal->wanted, false, __ATOMIC_RELAXED);
}

const char *
test_journal_bytes(const test_journal *journal, size_t *len)
{
    *len = journal->written.len;
    return (const char *) journal->written.at;
}

void
test_journal_set_topics(test_journal *journal, const char *topics, uint32_t len)
{
    const nmq_bytes filters = {(const uint8_t *) topics, len};

    (void) nmq_journal_set_topics(&journal->journal, filters);
}
