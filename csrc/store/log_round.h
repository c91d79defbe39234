// log_round.h - telling again what is live, so that the log can begin with it.
//
//     take (the journal begins anew) ──> tell, commit, tell, commit ... ──> all is told and
//     written: what came before is thrown away
//
// It goes on between commits, NMQ_LOG_ROUND_BYTES at a time, or NMQ_LOG_ROUND_SHARE times
// what else is committed. Meanwhile the log holds what was live twice, and half as much
// that may come.
//
// Threads  the one that writes the log.
#pragma once
#include "store/journal.h"
#include "store/wal.h"

enum {
    NMQ_LOG_ROUND_BYTES = 256 * 1024,
    NMQ_LOG_ROUND_SHARE = 2,
};

typedef struct {
    nmq_wal *wal;
    nmq_journal *journal;
    // See nmq_committer_options.
    uint64_t (*begin_anew)(void *arg, nmq_buf *out);
    int (*tell)(void *arg);
    void *arg;
    uint64_t anew;        // the commit that it begins with; 0: all is told
    uint64_t told;        // bytes that were told again since
    uint64_t came;        // bytes of the last commit that were not told again
    uint64_t piece;       // bytes that go into the next one because they are told again
    bool all_told;        // with what is staged
    uint64_t all_told_at; // the number of its last record
} nmq_log_round;

static inline bool
nmq_log_round_goes_on(const nmq_log_round *round)
{
    return round->anew != 0;
}

// Whether the next commit ends it, with or without records.
static inline bool
nmq_log_round_is_told(const nmq_log_round *round)
{
    return round->anew != 0 && round->all_told;
}

// Tells as much again as goes into the next commit. Returns NMQ_OK, or why something was
// not told: then the round is over, and a later one throws away what this one cannot.
int nmq_log_round_tell(nmq_log_round *round);

// Takes what is staged; where it is time, the journal begins anew behind it. Returns the
// number of the last record.
uint64_t nmq_log_round_take(nmq_log_round *round, bool is_time, nmq_buf *out);

// So many bytes go into a commit.
void nmq_log_round_count(nmq_log_round *round, uint64_t bytes);

// A commit is safe, up to that number. Returns whether the round is over: `told` is what is
// live, and nothing before it is needed any more.
bool nmq_log_round_end(nmq_log_round *round, uint64_t number);
