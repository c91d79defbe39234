// log_round.h - telling again what is live, so that the log can begin with it.
//
//     [epoch 1 | epoch 2 | epoch 3 | 4: told again ...
//      └─ thrown away once what is live of it was told, then 2 ... then all before 4
//
// The log is divided into epochs, each of which begins with BEGIN, in a commit of its own.
// A round goes on between commits, NMQ_LOG_ROUND_BYTES at a time, or NMQ_LOG_ROUND_SHARE
// times what else is committed, the oldest epoch first: what is thrown away makes room for
// what is told.
//
// Threads  the one that writes the log.
#pragma once
#include "store/journal.h"
#include "store/wal.h"

enum {
    NMQ_LOG_ROUND_BYTES = 256 * 1024,
    NMQ_LOG_ROUND_SHARE = 2,
    NMQ_LOG_ROUND_STEPS = 4096, // for one commit
    NMQ_LOG_EPOCHS = 192, // that are known at most; a delivery has eight bits of its own
    NMQ_LOG_EPOCH_SHARE = 64, // of the log, the part that an epoch is at least
    // A record names what is in its epoch or the one before, and so does what it names.
    NMQ_LOG_EPOCHS_NAMED = 2,
};

// Where an epoch begins.
typedef struct {
    uint32_t epoch;
    uint64_t sequence; // of a commit
} nmq_log_mark;

typedef struct {
    nmq_wal *wal;
    nmq_journal *journal;
    // See nmq_committer_options.
    uint64_t (*begin_anew)(void *arg, nmq_buf *out, bool is_round);
    bool (*tell)(void *arg, uint32_t *needed_from);
    void *arg;
    nmq_log_mark marks[NMQ_LOG_EPOCHS]; // of this process
    uint32_t mark_count;
    uint64_t epoch_bytes; // that were committed since the last mark
    uint64_t anew;        // the commit that it begins with; 0: all is told
    uint64_t told;        // bytes that were told again since
    uint64_t came;        // bytes of the last commit that were not told again
    uint64_t piece;       // bytes that go into the next one because they are told again
    bool all_told;        // with what is staged
    uint64_t all_told_at; // the number of its last record
    uint32_t needed_from; // the epoch before which nothing live was logged; 0: none
    uint64_t needed_at;   // the number of the last record that was told for that
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

// Tells as much again as goes into the next commit.
void nmq_log_round_tell(nmq_log_round *round);

// Takes what is staged; where it is time, a round begins behind it, or an epoch. Returns
// the number of the last record.
uint64_t nmq_log_round_take(nmq_log_round *round, bool is_time, nmq_buf *out);

// So many bytes go into a commit.
void nmq_log_round_count(nmq_log_round *round, uint64_t bytes);

// A commit is safe, up to that number: what is needed no more is thrown away, which the
// next commit says on the disk. Returns whether the round is over: `told` is what is live.
bool nmq_log_round_end(nmq_log_round *round, uint64_t number);
