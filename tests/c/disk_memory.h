// disk_memory.h - a disk in memory, for tests: it fails when it is told to, and at a cut of
// the power it loses and tears what was not made safe.
//
// cffi reads this file: no macros here.
//
// Owner    the caller's.
// Threads  thread-safe: a test may cut the power under another thread.
#pragma once
#include "store/disk.h"

typedef struct test_disk test_disk;

test_disk *test_disk_new(void);
test_disk *
test_disk_copy(test_disk *disk); // with what it holds now; none of its files is open
void test_disk_free(test_disk *disk);
nmq_disk *test_disk_of(test_disk *disk);

// The power is cut, and back: of each sector of 512 bytes that was not made safe the next
// choice says what is there: 0: what was before, 1: what was written, 2: the first half of
// it, 3: the last half. They begin anew behind the last one. Of the names that changed
// since they were made safe, the first `names` changes are there.
void test_disk_cut(test_disk *disk, const uint8_t *choices, size_t len, uint32_t names);

// Operations so far: open, write, sync, rename, remove, sync_names, read, list, size.
uint32_t test_disk_op_count(const test_disk *disk);

// The operation of that number, from 1, fails with that errno, once; a write has written
// half before. 0: none.
void test_disk_fail(test_disk *disk, uint32_t op, int error);

// From the operation of that number on all fail, and change nothing: the power has gone.
void test_disk_die(test_disk *disk, uint32_t op);

// Bytes that the files may have in all; 0: no bound.
void test_disk_set_room(test_disk *disk, uint64_t bytes);

// Somebody reads the files.
void test_disk_set_held(test_disk *disk, bool held);

// What is made safe is not, and nobody is told.
void test_disk_set_lying(test_disk *disk, bool lying);

// Each sync takes so long.
void test_disk_set_pace(test_disk *disk, uint32_t sync_us);

// How many files there are; the name of one; and its bytes, which hold until it is written.
uint32_t test_disk_files(const test_disk *disk);
const char *test_disk_name(const test_disk *disk, uint32_t n);
uint8_t *test_disk_bytes(test_disk *disk, const char *name, size_t *len);
