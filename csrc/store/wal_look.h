// wal_look.h - what is in the folder of a log, for people: it is read, and nothing is
// changed, whether a process has it or not.
//
//     000004.seg [41] [42] [--, bad] [44]    damage: in file 4, behind commit 42; commit 44
//     000005.seg [45] [46, torn] 0 0 0       lies behind it; and a torn tail
//
// While a process writes, a commit may be half written as it is read, and whole when what
// comes behind it is read: that looks like damage, and a second look does not find it.
//
// cffi reads this file: no macros here.
//
// Owner    the caller: nmq_wal_look_close. Until then the files stay (store/disk_folder.h).
// Threads  one at a time.
// Cost     the log is read three times.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct nmq_wal_look nmq_wal_look;

// A file of it.
typedef struct {
    uint32_t number;
    uint64_t bytes;
    uint64_t blocks; // that are whole
    uint64_t first;  // commit of the first of them; 0: there is none
    uint64_t last;
} nmq_wal_look_segment;

// A place where something that was safe is not there any more. Segments are numbers of
// files.
typedef struct {
    uint64_t after;        // commit of the last block before it; 0: there is none
    uint32_t segment;      // where the next block was expected
    uint64_t at;           // bytes
    bool is_missing;       // there is no such file
    uint32_t next_segment; // the block behind it
    uint64_t next_at;
    uint64_t next_sequence; // 0: there is none, only a file
} nmq_wal_look_damage;

typedef struct {
    bool in_use;      // a process has the folder
    uint64_t store;   // what the log is known by; 0: there is no block
    int64_t first_ms; // when the first and the last block were written, of the wall clock
    int64_t last_ms;
    uint64_t first; // first and last commit that is there, whole
    uint64_t last;
    uint64_t oldest;  // commits before that one are needed no more
    uint64_t commits; // that are needed: their bytes and records
    uint64_t bytes;
    uint64_t records;
    uint64_t kinds[256]; // the same by their numbers (journal.def)
    uint64_t malformed;  // commits that are no run of records
    uint64_t used;       // bytes of the files that hold what is needed
    uint32_t segments;
    uint32_t damages;
    uint32_t end_segment; // where the next block would go; 0: there is none
    uint64_t end_at;
    bool torn; // it ends with a commit that is not whole, which nobody was told of
} nmq_wal_look_facts;

// Reads the log of that folder. Returns NMQ_OK, also for a damaged one; NMQ_ENEWER: a later
// version wrote it; NMQ_ENOENT: no such folder; NMQ_EACCESS, NMQ_EIO or NMQ_ENOMEM.
// *error is the errno.
int nmq_wal_look_open(const char *folder, nmq_wal_look **out, int32_t *error);
void nmq_wal_look_close(nmq_wal_look *look); // takes NULL

// The log itself, an nmq_wal: to be replayed with `skip`.
void *nmq_wal_look_log(nmq_wal_look *look);

// What was found; the look's. index: below facts->segments, facts->damages.
const nmq_wal_look_facts *nmq_wal_look_at(const nmq_wal_look *look);
const nmq_wal_look_segment *nmq_wal_look_segment_at(const nmq_wal_look *look,
                                                    uint32_t index);
const nmq_wal_look_damage *nmq_wal_look_damage_at(const nmq_wal_look *look, uint32_t index);
