#include "store/wal_remake.h"

#include "base/status.h"
#include "store/disk_folder.h"
#include "store/journal_record.h"
#include "store/wal_recover.h"

enum { LENGTH_BYTES = 4, COMMIT_BYTES = 1 << 20 };

// Takes the first record off the bytes. Returns its kind, or 0: there is none.
static uint8_t
take(nmq_bytes *in)
{
    uint32_t length = in->len > LENGTH_BYTES ? nmq_journal_u32_at(in->at) : 0;

    if (length == 0 || length > in->len - LENGTH_BYTES) {
        return 0;
    }
    uint8_t kind = in->at[LENGTH_BYTES];
    in->at += LENGTH_BYTES + length;
    in->len -= LENGTH_BYTES + length;
    return kind;
}

int
nmq_wal_remake_count(const char *records, size_t len, uint64_t kinds[256])
{
    nmq_bytes in = {(const uint8_t *) records, len};

    while (in.len > 0) {
        uint8_t kind = take(&in);
        if (kind == 0) {
            return NMQ_EMALFORMED;
        }
        kinds[kind]++;
    }
    return NMQ_OK;
}

// Appends them, some MiB a commit; END has no place in a log that goes on.
static int
append_all(nmq_wal *wal, nmq_bytes in, int64_t wall_ms)
{
    int rv = NMQ_OK;

    while (in.len > 0 && rv == NMQ_OK) {
        nmq_bytes commit = {in.at, 0};
        uint8_t kind = 0;
        while (in.len > 0 && commit.len < COMMIT_BYTES) {
            kind = take(&in);
            if (kind == 0 || kind == NMQ_JOURNAL_END) {
                break;
            }
            commit.len = (size_t) (in.at - commit.at);
        }
        if (kind == 0) {
            return NMQ_EMALFORMED;
        }
        rv = commit.len > 0 ? nmq_wal_append(wal, commit, wall_ms) : NMQ_OK;
    }
    return rv;
}

int
nmq_wal_remake(const char *folder, const char *records, size_t len, uint64_t segment_bytes,
               int64_t wall_ms, int32_t *error)
{
    const nmq_wal_options options = {.segment_bytes = segment_bytes,
                                     .bytes_max = UINT64_MAX};
    nmq_wal_found found;
    nmq_disk *disk;
    nmq_wal wal;
    int rv = nmq_disk_folder_open(folder, &disk, error);

    if (rv != NMQ_OK) {
        return rv;
    }
    rv = nmq_wal_open(&wal, disk, &options, &found);
    rv = rv == NMQ_OK && wal.sequence > 1 ? NMQ_EINVAL : rv;
    if (rv == NMQ_OK) {
        rv = append_all(&wal, (nmq_bytes){(const uint8_t *) records, len}, wall_ms);
    }
    *error = wal.segments.error;
    nmq_wal_close(&wal);
    nmq_disk_folder_close(disk);
    return rv;
}

int
nmq_wal_claim_new(const char *folder, nmq_wal_claim **out, int32_t *error)
{
    return nmq_disk_folder_open(folder, (nmq_disk **) (void *) out, error);
}

void
nmq_wal_claim_free(nmq_wal_claim *claim)
{
    nmq_disk_folder_close((nmq_disk *) (void *) claim);
}
