// broker_log.c - a broker becomes what the log of another one says; nmq.h says how.
#include "base/status.h"
#include "broker_struct.h"
#include "route/handover_restore.h"
#include "store/wal_recover.h"

typedef struct {
    nmq_handover_reader reader;
    nmq_wal *wal;
} taker;

// nmq_wal_commit_fn
static int
take_commit(void *arg, uint64_t sequence, nmq_bytes records)
{
    taker *t = arg;

    (void) sequence;
    return nmq_handover_log_take(&t->reader, t->wal->wall_ms, records);
}

int
nmq_broker_take_log(nmq_broker *broker, nmq_wal_look *look, nmq_log_taken *out)
{
    taker t = {.wal = nmq_wal_look_log(look)};
    const nmq_handover_log log = {.over_ms = t.wal->wall_ms, .lenient = true};

    nmq_handover_log_begin(&t.reader, &broker->sessions, &broker->consumers, &log);
    t.reader.objects.keeps_numbers = false;
    int rv = nmq_wal_replay(t.wal, true, take_commit, &t);
    if (rv != NMQ_OK) {
        nmq_handover_log_cancel(&t.reader);
        return rv;
    }
    *out = (nmq_log_taken){
        .messages = t.reader.objects.messages.base,
        .origins = t.reader.objects.origins.base,
        .sessions = nmq_reader_sessions(&t.reader.clients),
    };
    return nmq_handover_log_end(&t.reader, NULL, &out->passed);
}
