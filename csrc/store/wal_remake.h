// wal_remake.h - a new log with what a broker has saved (nmq_broker_save).
//
// cffi reads this file: no macros here.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Writes the records to the log of that folder, which is made and has none yet, with its
// own number, and makes them safe. segment_bytes, wall_ms: as store/wal_recover.h and
// store/wal.h. Returns NMQ_OK; NMQ_EMALFORMED: those are no records; NMQ_EINVAL: there is
// a log; NMQ_ECLOSED, NMQ_EACCESS, NMQ_ENOENT, NMQ_ENOSPC, NMQ_EIO or NMQ_ENOMEM. *error
// is the errno.
int nmq_wal_remake(const char *folder, const char *records, size_t len,
                   uint64_t segment_bytes, int64_t wall_ms, int32_t *error);

// Counts the records of such a run by their numbers (journal.def). Returns NMQ_OK, or
// NMQ_EMALFORMED.
int nmq_wal_remake_count(const char *records, size_t len, uint64_t kinds[256]);

// The folder belongs to this process until it is let go. Returns as nmq_wal_remake.
typedef struct nmq_wal_claim nmq_wal_claim;
int nmq_wal_claim_new(const char *folder, nmq_wal_claim **out, int32_t *error);
void nmq_wal_claim_free(nmq_wal_claim *claim); // takes NULL
