#include "store/log_round.h"

#include "store/journal_told.h"

// How much goes into the next commit: more than came with the last one, so that a round
// ends however much comes; but not so much that who publishes has to wait for that alone.
static uint64_t
share(const nmq_log_round *round)
{
    uint64_t most = round->journal->full_bytes / 2;
    uint64_t bytes = NMQ_LOG_ROUND_SHARE * round->came;

    bytes = bytes > NMQ_LOG_ROUND_BYTES ? bytes : NMQ_LOG_ROUND_BYTES;
    return most != 0 && bytes > most ? most : bytes;
}

int
nmq_log_round_tell(nmq_log_round *round)
{
    nmq_journal *journal = round->journal;
    uint64_t before = nmq_journal_retold(journal);
    uint64_t most = share(round);
    int rv = 1;

    round->piece = 0;
    while (round->anew != 0 && !round->all_told && rv > 0 && round->piece < most) {
        rv = round->tell(round->arg);
        round->all_told = rv == NMQ_OK;
        round->all_told_at = nmq_journal_appended(journal);
        round->told = nmq_journal_retold(journal);
        round->piece = round->told - before;
    }
    if (rv < 0) {
        round->anew = 0;
        return rv;
    }
    return NMQ_OK;
}

uint64_t
nmq_log_round_take(nmq_log_round *round, bool is_time, nmq_buf *out)
{
    bool due = is_time && round->begin_anew != NULL && round->anew == 0;
    uint64_t number = due ? round->begin_anew(round->arg, out) : 0;

    if (number == 0) { // not due, or not now
        return nmq_journal_take(round->journal, out);
    }
    round->anew = round->wal->sequence + (out->len > 0);
    round->told = 0;
    round->all_told = false;
    return number;
}

void
nmq_log_round_count(nmq_log_round *round, uint64_t bytes)
{
    round->came = bytes > round->piece ? bytes - round->piece : 0;
}

bool
nmq_log_round_end(nmq_log_round *round, uint64_t number)
{
    bool is_over = nmq_log_round_is_told(round) && round->wal->sequence > round->anew &&
                   number >= round->all_told_at;

    if (is_over) {
        nmq_wal_keep_from(round->wal, round->anew);
        round->anew = 0;
    }
    return is_over;
}
