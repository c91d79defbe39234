#include "journaling.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "disk_memory.h"
#include "journal_disk.h"
#include "store/committer.h"
#include "store/journal_record.h"
#include "store/wal_recover.h"

// A commit of this disk takes so long, and so much may wait for one.
enum {
    SYNC_US = 500,
    FULL_BYTES = 32 * 1024,
    BYTES_MAX = 1 << 28,
    SEGMENT_BYTES = 1 << 17
};

static test_disk *disk;
static disk_journal *journal;

void
journaling_begin(nmq_broker *broker)
{
    disk = test_disk_new();
    test_disk_set_pace(disk, SYNC_US);
    const disk_journal_options options = {.segment_bytes = SEGMENT_BYTES,
                                          .bytes_max = BYTES_MAX,
                                          .full_bytes = FULL_BYTES,
                                          .gather_ms = NMQ_GATHER_AUTO,
                                          .hold_ms = 1000};
    assert(disk_journal_open(broker, test_disk_of(disk), &options, &journal) == 0);
}

// nmq_wal_commit_fn
static int
note_commit(void *arg, uint64_t sequence, nmq_bytes bytes)
{
    (void) sequence;
    return nmq_buf_put(arg, bytes);
}

// Reads all that was written.
static void
read_log(nmq_buf *out)
{
    const nmq_wal_options options = {.segment_bytes = 1 << 17, .bytes_max = 1 << 28};
    nmq_wal_found found;
    nmq_wal wal;

    assert(nmq_wal_open(&wal, test_disk_of(disk), &options, &found) == NMQ_OK);
    assert(nmq_wal_replay(&wal, false, note_commit, out) == NMQ_OK);
    nmq_wal_close(&wal);
}

// Returns how many sessions the log has had, ended ones too.
static uint64_t
sessions_of(nmq_bytes log)
{
    nmq_journal_record record;
    uint64_t most = 0;

    while (nmq_journal_get(&log, &record) == NMQ_OK) {
        uint64_t number = record.kind == NMQ_JOURNAL_SESSION ? record.session.number
                          : record.kind == NMQ_JOURNAL_BEGIN ? record.begin.sessions
                                                             : 0;
        most = number > most ? number : most;
    }
    return most;
}

// How many sessions a broker would hand over.
static int
kept(nmq_broker *broker)
{
    int fd = memfd_create("kept", MFD_CLOEXEC);
    int count = nmq_broker_save(broker, fd);

    (void) close(fd);
    return count;
}

void
journaling_check(nmq_broker *broker)
{
    const nmq_options options = {
        .window = 20,
        .queue_max = 100000,
        .packet_max_bytes = 65536,
        .send_packet_max_bytes = 65536,
        .topic_levels_max = 10,
        .receive_maximum = 100,
        .qos_max = 2,
        .retain_available = true,
        .wildcards_available = true,
        .shared_available = true,
        .subscription_ids_available = true,
        .outbox_max_bytes = 65536,
        .keep_alive_permille = 1500,
        .expiry_max_s = UINT32_MAX,
        .log_level = 100,
    };
    nmq_broker *again = NULL;
    nmq_buf whole = {0};

    uint64_t commits = disk_journal_commits(journal);
    uint64_t rounds = disk_journal_rounds(journal);
    disk_journal_stop(journal);
    read_log(&whole);
    const nmq_bytes log = {whole.at, whole.len};
    const nmq_journal_record end = {.kind = NMQ_JOURNAL_END,
                                    .end = {.sessions = sessions_of(log)}};
    assert(nmq_journal_put(&whole, &end) == NMQ_OK);
    assert(nmq_broker_new(&options, &again) == NMQ_OK);
    int restored = nmq_broker_restore(again, (const char *) whole.at, whole.len);
    printf("journaling: %zu bytes, %llu commits, anew %llu times, %d sessions\n", whole.len,
           (unsigned long long) commits, (unsigned long long) rounds, restored);
    assert(restored >= 0 && restored >= kept(broker)); // some expire meanwhile
    nmq_broker_free(again);
    nmq_buf_free(&whole);
}

void
journaling_end(void)
{
    disk_journal_free(journal);
    test_disk_free(disk);
}
