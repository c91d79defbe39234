#include "store/log_round.h"

#include <string.h>

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

// Tells one thing.
static void
tell_one(nmq_log_round *round)
{
    uint32_t needed_from = round->needed_from;

    round->all_told = !round->tell(round->arg, &needed_from);
    round->all_told_at = nmq_journal_appended(round->journal);
    if (needed_from != round->needed_from) {
        round->needed_from = needed_from;
        round->needed_at = round->all_told_at;
    }
}

void
nmq_log_round_tell(nmq_log_round *round)
{
    nmq_journal *journal = round->journal;
    uint64_t before = nmq_journal_retold(journal);
    uint64_t most = share(round);

    round->piece = 0;
    for (int i = 0; round->anew != 0 && !round->all_told && i < NMQ_LOG_ROUND_STEPS &&
                    round->piece < most;
         i++) {
        tell_one(round);
        round->told = nmq_journal_retold(journal);
        round->piece = round->told - before;
    }
}

// --- epochs

// Forgets those before which nothing is needed any more.
static void
forget_marks(nmq_log_round *round)
{
    uint32_t gone = 0;

    while (gone < round->mark_count && round->marks[gone].sequence <= round->wal->from) {
        gone++;
    }
    round->mark_count -= gone;
    memmove(round->marks, round->marks + gone, round->mark_count * sizeof *round->marks);
}

// Whether another epoch is due. They are as long as that there are not too many.
static bool
is_long(const nmq_log_round *round)
{
    uint64_t least = nmq_wal_used(round->wal) / NMQ_LOG_EPOCH_SHARE;
    uint64_t segment = round->wal->segments.segment_bytes;

    return round->epoch_bytes >= (least > segment ? least : segment) &&
           round->mark_count < NMQ_LOG_EPOCHS - 1; // the last is for a round
}

uint64_t
nmq_log_round_take(nmq_log_round *round, bool is_time, nmq_buf *out)
{
    bool is_round = is_time && round->anew == 0;
    bool due = round->begin_anew != NULL && (is_round || is_long(round));
    uint64_t number = due ? round->begin_anew(round->arg, out, is_round) : 0;

    if (number == 0) { // not due, or not now
        return nmq_journal_take(round->journal, out);
    }
    uint64_t sequence = round->wal->sequence + (out->len > 0);
    forget_marks(round);
    if (round->mark_count < NMQ_LOG_EPOCHS) {
        round->marks[round->mark_count++] = (nmq_log_mark){
            .epoch = nmq_journal_epoch(round->journal), .sequence = sequence};
    }
    round->epoch_bytes = 0;
    if (is_round) {
        round->anew = sequence;
        round->told = 0;
        round->all_told = false;
        round->needed_from = 0;
    }
    return number;
}

void
nmq_log_round_count(nmq_log_round *round, uint64_t bytes)
{
    round->came = bytes > round->piece ? bytes - round->piece : 0;
    round->epoch_bytes += bytes;
}

// Throws away what was needed for nothing but what was told again by now.
static void
keep_less(nmq_log_round *round)
{
    uint64_t sequence = 0;

    for (uint32_t i = 0; i < round->mark_count; i++) {
        if (round->marks[i].epoch + NMQ_LOG_EPOCHS_NAMED <= round->needed_from) {
            sequence = round->marks[i].sequence;
        }
    }
    nmq_wal_keep_from(round->wal, sequence < round->anew ? sequence : round->anew);
    round->needed_from = 0;
}

bool
nmq_log_round_end(nmq_log_round *round, uint64_t number)
{
    bool is_over = nmq_log_round_is_told(round) && round->wal->sequence > round->anew &&
                   number >= round->all_told_at;

    if (is_over) {
        nmq_wal_keep_from(round->wal, round->anew);
        round->anew = 0;
        round->needed_from = 0;
    } else if (round->anew != 0 && round->needed_from != 0 && number >= round->needed_at) {
        keep_less(round);
    }
    return is_over;
}
