// journal_memory.h - a journal in memory, for tests: what is written is durable when the
// test says so.
//
//     test_journal_new ──> changes ... ──take──> written ──settle──> acknowledgements leave
//
// cffi reads this file: no macros here.
//
// Owner    the caller's; freed after the broker.
// Threads  thread-safe, but for take, settle and bytes: one thread.
#pragma once
#include "nmq.h"

typedef struct test_journal test_journal;

// The broker, which keeps nothing yet, logs to it from now on. NULL: no memory.
test_journal *test_journal_new(nmq_broker *broker);

// The same of a broker that was made of that log, which goes on. NULL: it cannot be.
// over_ms: when it was written; 0: now. passed: records may be missing, and how many were
// passed over; NULL: none may be.
test_journal *test_journal_over(nmq_broker *broker, const char *log, size_t len,
                                int64_t over_ms, uint64_t *passed);

// The same of two commits, with their times.
test_journal *test_journal_over_two(nmq_broker *broker, const char *first, size_t first_len,
                                    int64_t first_ms, const char *second, size_t second_len,
                                    int64_t second_ms);

// How many messages were there when the last record was read.
uint64_t test_journal_read_messages(const test_journal *journal);

void test_journal_free(test_journal *journal);

// Writes what is staged. Returns its number.
uint64_t test_journal_take(test_journal *journal);

// The same, and the journal begins anew, as nmq_journal_begin_anew. *at is where in what is
// written its BEGIN will be.
uint64_t test_journal_begin_anew(test_journal *journal, bool is_round, size_t *at);
uint32_t test_journal_epoch(const test_journal *journal);

// Tells one thing of what was before again, as nmq_retell_step.
int test_journal_retell(test_journal *journal);
uint32_t test_journal_needed_from(const test_journal *journal);

// All is durable up to that number.
void test_journal_settle(test_journal *journal, uint64_t number);

// What is logged from here on is one change, until it is closed: 0 to 3.
void test_journal_open(test_journal *journal, int group);
void test_journal_close(test_journal *journal, int group);

// There is no room, or there is again.
void test_journal_set_full(test_journal *journal, bool full);

// See nmq_durability_keys.
void test_journal_set_topics(test_journal *journal, const char *topics, uint32_t len);

// Whether somebody has begun to wait since the last call.
bool test_journal_is_wanted(test_journal *journal);

// What was written so far; it holds until the next take.
const char *test_journal_bytes(const test_journal *journal, size_t *len);
