// Promise: whatever is on the disk, a new process recovers what is in its log or refuses,
// works on, and gives back all memory; and what it has logged since can be recovered again.
//
// An input is a run of changes to the log that a broker with sessions of every kind wrote.
// Blocks may be sealed anew, so that what is in them comes to be read.
#include <assert.h>
#include <string.h>

#include "../c/disk_memory.h"
#include "base/mem.h"
#include "base/status.h"
#include "keeper.h"
#include "route/durable.h"
#include "route/handover_restore.h"
#include "store/wal_block.h"
#include "store/wal_recover.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT_BYTES = 1 << 15, BYTES_MAX = 1 << 20, COUNTED_AT = 8, CRC_AT = 4 };

static test_disk *written;

// A process with a log.
typedef struct {
    nmq_broker *broker;
    nmq_journal journal;
    nmq_wal wal;
    nmq_buf staged;
    int64_t wall_ms;
} process;

static void
want(void *arg, bool waits)
{
    (void) arg;
    (void) waits;
}

static void
commit(void *arg)
{
    process *p = arg;
    uint64_t number = nmq_journal_take(&p->journal, &p->staged);
    const nmq_bytes records = {p->staged.at, p->staged.len};

    assert(nmq_wal_append(&p->wal, records, p->wall_ms) == NMQ_OK);
    nmq_journal_written(&p->journal);
    nmq_durable_settle(nmq_broker_router(p->broker), number);
}

// nmq_wal_commit_fn
static int
count(void *arg, uint64_t sequence, nmq_bytes records)
{
    (void) sequence;
    return nmq_handover_count(arg, records);
}

typedef struct {
    nmq_handover_reader reader;
    const nmq_wal *wal;
} replayer;

// nmq_wal_commit_fn
static int
take(void *arg, uint64_t sequence, nmq_bytes records)
{
    replayer *r = arg;

    (void) sequence;
    return nmq_handover_log_take(&r->reader, r->wal->wall_ms, records);
}

// Returns how many sessions, or why not.
static int
replay(process *p, const nmq_handover_log *log)
{
    nmq_consumers *consumers = nmq_broker_consumers(p->broker);
    replayer r = {.wal = &p->wal};
    uint64_t passed;

    nmq_handover_log_begin(&r.reader, consumers->sessions, consumers, log);
    int rv = nmq_wal_replay(&p->wal, log->lenient, take, &r);
    if (rv != NMQ_OK) {
        nmq_handover_log_cancel(&r.reader);
        return rv;
    }
    rv = nmq_handover_log_end(&r.reader, &p->journal, &passed);
    assert(log->lenient || passed == 0);
    return rv;
}

static int
begin(process *p, test_disk *disk, bool skip)
{
    nmq_handover_log log = {.lenient = skip};
    const nmq_wal_options options = {.segment_bytes = SEGMENT_BYTES,
                                     .bytes_max = BYTES_MAX,
                                     .skip = skip,
                                     .ahead = count,
                                     .ahead_arg = &log.uses};
    nmq_wal_found found;

    *p = (process){.broker = fuzz_broker_new(&fuzz_kept_options)};
    assert(p->broker != NULL);
    nmq_journal_init(&p->journal, 0, want, NULL);
    int rv = nmq_wal_open(&p->wal, test_disk_of(disk), &options, &found);
    log.over_ms = p->wal.wall_ms;
    p->wall_ms = p->wal.wall_ms + 1;
    if (rv != NMQ_OK) {
        nmq_handover_uses_fini(&log.uses);
        return rv;
    }
    return replay(p, &log);
}

static void
end(process *p)
{
    fuzz_broker_free(p->broker);
    nmq_wal_close(&p->wal);
    nmq_journal_fini(&p->journal);
    nmq_buf_free(&p->staged);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    process p;

    (void) argc;
    (void) argv;
    written = test_disk_new();
    assert(begin(&p, written, false) == 0);
    fuzz_keep(p.broker, commit, &p);
    commit(&p);
    end(&p);
    return 0;
}

// The byte of all files.
static uint8_t *
byte_at(test_disk *disk, size_t at)
{
    for (uint32_t n = 0; n < test_disk_files(disk); n++) {
        size_t len;
        uint8_t *bytes = test_disk_bytes(disk, test_disk_name(disk, n), &len);
        if (at < len) {
            return bytes + at;
        }
        at -= len;
    }
    return NULL;
}

// Makes the checksums of all blocks those of what is in them.
static void
seal(test_disk *disk)
{
    uint32_t before = 0;

    for (uint32_t n = 0; n < test_disk_files(disk); n++) {
        size_t len;
        uint8_t *bytes = test_disk_bytes(disk, test_disk_name(disk, n), &len);
        nmq_wal_block block;
        for (size_t at = 0; at + NMQ_WAL_PAGE_BYTES <= len; at += NMQ_WAL_PAGE_BYTES) {
            if (nmq_wal_block_read(bytes + at, len - at, &block)) {
                bool chained = block.before == before;
                nmq_wal_block_seal(&block, bytes + at + NMQ_WAL_HEAD_BYTES, bytes + at);
                before = chained ? block.crc : before;
                at += nmq_wal_block_span(block.len) - NMQ_WAL_PAGE_BYTES;
            }
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    process p;

    if (size < 1) {
        return -1;
    }
    bool skip = (data[0] & 1) != 0;
    test_disk *disk = test_disk_copy(written);
    for (const uint8_t *at = data + 1; at + 3 <= data + size; at += 3) {
        uint8_t *byte = byte_at(disk, (size_t) (at[0] | at[1] << 8));
        if (byte != NULL) {
            *byte = at[2];
        }
    }
    if ((data[0] & 2) != 0) {
        seal(disk);
    }
    int rv = begin(&p, disk, skip);
    assert(rv >= 0 || rv == NMQ_EMALFORMED || rv == NMQ_ECORRUPT || rv == NMQ_ENEWER ||
           rv == NMQ_EINVAL);
    assert(!skip || rv != NMQ_EMALFORMED);
    if (rv >= 0) {
        fuzz_tell(p.broker, nmq_bytes_of("t"), "x", 2, true);
        fuzz_pass_time(100000);
        commit(&p);
    }
    end(&p);
    if (rv >= 0) {
        rv = begin(&p, disk, skip);
        assert(rv >= 0);
        end(&p);
    }
    test_disk_free(disk);
    assert(nmq_mem_live() == 0);
    return 0;
}
