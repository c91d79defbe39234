// journal.h - changes of what must outlive the process, in their order, and who waits until
// they are safe.
//
//     change of kept state ──append──> staged ──take──> whoever writes them ──settle──┐
//     reply ──wait for its number──> waiting <── those whose number is durable ───────┘
//
// A change is appended with the lock of what has changed, so the records of one session,
// one topic or one subscription come in the order of its changes, and what was appended up
// to any number is a state that was. Records are counted: the number of a record is how
// many there are up to it. Who writes them is not the journal's matter: the writer takes
// what is staged, makes it safe in its own time, and says up to which number all is.
//
// Nothing that cannot be appended may be acknowledged: from the first record for which
// there is no memory on, every number is NMQ_JOURNAL_NEVER. So it is from the moment on at
// which the writer has failed (nmq_journal_break).
//
// The writer says how much room there is. nmq_journal_may is asked before a change is made
// that adds something: what has been appended must not be too much. What takes away, an
// acknowledgement or the end of a session, always goes.
//
// Owner    whoever made it, who outlives all sessions that log to it.
// Threads  thread-safe. Its lock is a leaf: it is taken after any other.
// Cost     append: one copy of the record. settle: those that wait.
#pragma once
#include <pthread.h>

#include "base/live.h"
#include "base/status.h"
#include "store/journal_record.h"
#include "store/journal_waits.h"
#include "store/message.h"
#include "store/topic_choice.h"

#define NMQ_JOURNAL_NEVER UINT64_MAX

enum {
    NMQ_JOURNAL_ANEW_MS = 10,
    NMQ_JOURNAL_KEPT_BYTES = 256 * 1024, // of a buffer that was larger, once it is empty
};
// In place of the number of a message that is not logged; see store/journal_topics.h.
#define NMQ_JOURNAL_LEFT_OUT UINT64_MAX

// How many numbers were given.
typedef struct {
    uint64_t messages;
    uint64_t origins;
    uint64_t sessions;
} nmq_journal_given;

// Records that make one change: all of them come back, or none. It lies with who appends
// them.
//
//     open ──> UNRELEASED, MESSAGE, DELIVERY ──> close
typedef struct nmq_journal_group {
    struct nmq_journal_group *next; // the journal's lock: of those that were opened later
    struct nmq_journal_group **at;  // the journal's lock: what points at it
    uint64_t number;                // the journal's lock: appended before it
    size_t bytes;                   // the journal's lock: staged before it
} nmq_journal_group;

typedef struct nmq_journal {
    // Something is staged, and nothing was; or, with `waits`, somebody has begun to wait,
    // and the writer is to take what is staged. Called with locks, so it takes none but its
    // own, and comes back at once.
    void (*wanted)(void *arg, bool waits);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t turned;     // groups are closed, or may be opened
    nmq_buf staged;            // lock
    uint64_t appended;         // lock
    uint64_t durable;          // atomic, set by settle
    uint64_t asked;            // NMQ_LIVE, set with the lock: see nmq_journal_asked
    nmq_journal_given given;   // lock
    nmq_journal_given begun;   // lock: when its epoch began
    nmq_journal_given told;    // lock: what has a greater number was told lately
    uint32_t epoch;            // NMQ_LIVE: how many BEGIN were appended
    uint64_t retold;           // lock: bytes of what was told again since it began anew
    nmq_journal_waits waits;   // lock
    nmq_journal_group *groups; // lock: open, the first that was opened first
    uint64_t writing;          // lock: bytes that were taken, until nmq_journal_written
    uint64_t full_bytes;       // staged and taken, at most; 0: no bound
    uint64_t room;             // lock: bytes that may be staged and taken
    uint64_t left;             // NMQ_LIVE: of them
    uint32_t hold_ms;          // NMQ_LIVE: how long who cannot be refused waits for room
    bool lax;                  // see nmq_journal_let_go; before anything is appended
    bool urged;                // lock: the writer was, since it took something
    bool cut;                  // lock: what groups hold back was to be taken
    uint32_t turn;             // lock: how often it was about to begin anew
    bool turns;                // lock: it is, and no group is opened meanwhile
    nmq_topic_choice topics;   // lock: of messages to come that are logged
    bool partial;              // NMQ_LIVE: some may be left out
    bool failed;               // lock: a record is missing
    bool broken;               // NMQ_LIVE: and nobody is to be acknowledged
    bool full;                 // NMQ_LIVE: who publishes is to wait
} nmq_journal;

// Messages that were made before the first journal of the process cannot be logged.
// full_bytes: what may be staged and not written before who publishes is to wait.
void nmq_journal_init(nmq_journal *journal, uint64_t full_bytes,
                      void (*wanted)(void *arg, bool waits), void *arg);
void nmq_journal_fini(nmq_journal *journal);

// Nobody waits: what is appended is taken for durable at once, unless it is missing. But
// who publishes waits while the journal is full, and the writer is wanted before it is.
// Before anything is appended.
void nmq_journal_let_go(nmq_journal *journal);

// Appends the record. Returns its number.
uint64_t nmq_journal_append(nmq_journal *journal, const nmq_journal_record *record);

// The same for one that names a message, which is appended as by nmq_journal_add_message,
// in one step: the journal does not begin anew between the two. names: where in the record
// the number of the message is. again: the record tells again what was before. Of a message
// that is left out nothing is appended: returns 0.
uint64_t nmq_journal_append_of(nmq_journal *journal, nmq_message *message,
                               nmq_journal_record *record, uint64_t *names, bool again);

// Appends the record that a message has gone, DROPPED, and sets its number there. Of one
// that is left out nothing is appended: returns 0.
uint64_t nmq_journal_append_gone(nmq_journal *journal, const nmq_message *message,
                                 nmq_journal_record *record);

// The same as nmq_journal_append, for whole records of one session that somebody else has
// written: they come one behind the other. *session is its number; 0: it gets one, which is
// written in place of each 0 that a record begins with. again: they tell again what was
// before. Returns the number of the last.
uint64_t nmq_journal_append_session(nmq_journal *journal, nmq_bytes records,
                                    uint64_t *session, bool again);

// Returns the number of the message, which is appended, with its origin, the first time,
// and again if that was neither in this epoch nor in the one before, or not since what was
// before is told again; or NMQ_JOURNAL_LEFT_OUT. Within a group, to which belongs what
// names it.
uint64_t nmq_journal_add_message(nmq_journal *journal, nmq_message *message);

// A record is missing. Returns NMQ_JOURNAL_NEVER.
uint64_t nmq_journal_fail(nmq_journal *journal);

// The number of what was appended last.
uint64_t nmq_journal_appended(nmq_journal *journal);

// How many records were appended of those that somebody may wait for: all but those of
// acknowledgements, which are not to bring anything more. Thread-safe.
static inline uint64_t
nmq_journal_asked(const nmq_journal *journal)
{
    return NMQ_LIVE(journal->asked);
}

static inline bool
nmq_journal_is_durable(const nmq_journal *journal, uint64_t number)
{
    return __atomic_load_n(&journal->durable, __ATOMIC_ACQUIRE) >= number;
}

// Whether who publishes may go on, whose last record has that number. Where no room is left
// on the disk it is not kept waiting for the journal: it is refused.
static inline bool
nmq_journal_may_publish(const nmq_journal *journal, uint64_t number)
{
    return nmq_journal_is_durable(journal, number) &&
           (!NMQ_LIVE(journal->full) || NMQ_LIVE(journal->left) == 0);
}

// Has it wait for that number, where it does not wait yet. Returns false if the number is
// durable: then it does not. In a journal that lets go it waits for room instead.
bool nmq_journal_wait_for(nmq_journal *journal, nmq_journal_wait *wait, uint64_t number);

// It waits for that number, if it is lower and nothing has ended its wait yet.
void nmq_journal_wait_less(nmq_journal *journal, nmq_journal_wait *wait, uint64_t number);

// It does not wait any longer. Returns whether it did: else nmq_journal_settle has it.
bool nmq_journal_cancel(nmq_journal *journal, nmq_journal_wait *wait);

// --- the writer: one thread at a time

// Takes what is staged, up to the first group that is open, in place of what is in the
// buffer, which it empties. Returns the number of the last record.
uint64_t nmq_journal_take(nmq_journal *journal, nmq_buf *out);

typedef struct {
    uint64_t waiting; // how many wait
    uint64_t staged;  // bytes that are staged or taken, and not written
    uint64_t left;    // bytes that may be added now; UINT64_MAX: there is no bound
} nmq_journal_load;

nmq_journal_load nmq_journal_look(nmq_journal *journal); // thread-safe

// As nmq_journal_take, and an epoch of the journal begins: the record, of kind BEGIN, comes
// first of what is staged from here on. What is appended in an epoch names messages of that
// and the one before, and these name origins of theirs and the one before. is_round: what
// was before is told again, sessions under new numbers (route/retell.h), and what is
// appended from here on names nothing that was before; then the run can be read from that
// record on. Returns 0, and does nothing, where a group stays open for NMQ_JOURNAL_ANEW_MS.
uint64_t nmq_journal_begin_anew(nmq_journal *journal, nmq_buf *out,
                                nmq_journal_record *begin, bool is_round);

// The epoch that it is in, or was just now. Thread-safe.
static inline uint32_t
nmq_journal_epoch(const nmq_journal *journal)
{
    return NMQ_LIVE(journal->epoch);
}

// Appends the first record of a process.
void nmq_journal_begin(nmq_journal *journal, nmq_journal_record *begin);

// Whether a change that adds so many bytes is taken: NMQ_OK; NMQ_ENOSPC: there is no room
// now; NMQ_ESTORE: it would never be durable. NULL takes all. Thread-safe.
static inline int
nmq_journal_may(const nmq_journal *journal, uint64_t bytes)
{
    if (journal == NULL || bytes < NMQ_LIVE(journal->left)) {
        return NMQ_OK;
    }
    return NMQ_LIVE(journal->broken) ? NMQ_ESTORE : NMQ_ENOSPC;
}

// What was taken is written: it counts no more. Who publishes goes on once half is free.
void nmq_journal_written(nmq_journal *journal);

// So much more may be appended; it begins with no bound.
void nmq_journal_set_room(nmq_journal *journal, uint64_t bytes);

// Whether a record is missing.
bool nmq_journal_has_failed(nmq_journal *journal);

// Nothing more is written: what is staged is thrown away, and so is what is appended from
// here on. refuses: and nobody is to be acknowledged; else the writer settles
// NMQ_JOURNAL_NEVER then, and everybody is.
void nmq_journal_break(nmq_journal *journal, bool refuses);

// Returns all that wait, as nmq_journal_settle.
nmq_journal_wait *nmq_journal_expel(nmq_journal *journal);

// All is safe up to that number. Returns those that waited for it: they are on no list of
// the journal any more.
nmq_journal_wait *nmq_journal_settle(nmq_journal *journal, uint64_t number);
