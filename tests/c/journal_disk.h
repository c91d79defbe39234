// journal_disk.h - a broker of which what is kept is on a disk (net/durability.h), for
// tests.
//
// cffi reads this file: no macros here.
//
// Owner    the caller's; the disk stays the caller's, and is there as long.
// Threads  thread-safe.
#pragma once
#include "nmq.h"
#include "store/disk.h"

typedef struct disk_journal disk_journal;

typedef struct {
    uint64_t segment_bytes;
    uint64_t bytes_max;
    uint64_t full_bytes;
    uint32_t gather_ms;
    uint32_t hold_ms;
    const char *topics; // see nmq_durability_keys
    uint32_t topics_len;
    uint8_t on_error; // enum nmq_durability_on_error
} disk_journal_options;

// The broker becomes what the log says, and logs on. Options: see nmq_durability_options.
// Returns how many sessions, or as nmq_durability_open.
int disk_journal_open(nmq_broker *broker, nmq_disk *disk,
                      const disk_journal_options *options, disk_journal **out);

// The last commit; then nothing more is safe. Once the broker has stopped.
void disk_journal_stop(disk_journal *journal);
void disk_journal_free(disk_journal *journal); // the broker is freed

// How often what is live was told again, so that what came before could be thrown away.
uint64_t disk_journal_rounds(disk_journal *journal);

// Commits so far; the status that the committer has told last, and its errno.
uint64_t disk_journal_commits(disk_journal *journal);
int disk_journal_status(disk_journal *journal, int *error);

// How long who cannot be refused waits from now on.
void disk_journal_set_hold(disk_journal *journal, uint32_t hold_ms);

// As the key durability.topics does.
void disk_journal_set_topics(disk_journal *journal, const char *topics,
                             uint32_t topics_len);

// Bytes that are staged.
uint64_t disk_journal_staged(disk_journal *journal);

// The journal has no memory for one record.
void disk_journal_lose_record(disk_journal *journal);
bool disk_journal_is_full(disk_journal *journal);

void disk_journal_report(disk_journal *journal, nmq_durability_stats *out);
