// journal_record.h - kept state as a run of bytes, a record for each fact (journal.def).
//
//     [length 4][kind 1][fields]  [length 4][kind 1][fields] ...
//
// Numbers are little-endian; a text is its length in 4 bytes, 0xffffffff: absent, and its
// bytes. `length` counts kind and fields. A version knows the records that it was built
// with: it passes over others, and over fields that a later one has added.
//
// Owner    a record borrows its texts. To write it copies them; after a read they lie in
//          the bytes that were read.
// Threads  none of its own.
#pragma once
#include "base/bytes.h"

#define NMQ_JOURNAL_FORMAT 1 // one that is higher cannot be read

typedef uint8_t nmq_field_u8;
typedef uint16_t nmq_field_u16;
typedef uint32_t nmq_field_u32;
typedef uint64_t nmq_field_u64;
typedef int64_t nmq_field_i64;
typedef nmq_bytes nmq_field_text;

enum nmq_journal_kind {
#define RECORD(number, NAME, name, fields) NMQ_JOURNAL_##NAME = (number),
#include "journal.def"
};

#define FIELD(type, name) nmq_field_##type name;
#define RECORD(number, NAME, name, fields)                                                 \
    typedef struct {                                                                       \
        fields                                                                             \
    } nmq_##name##_record;
#include "journal.def"
#undef FIELD

typedef struct {
    uint8_t kind; // enum nmq_journal_kind: which of the others counts
    union {
#define RECORD(number, NAME, name, fields) nmq_##name##_record name;
#include "journal.def"
    };
} nmq_journal_record;

// Writes and reads one number of a text that is a list of numbers. put returns where the
// next one goes.
uint8_t *nmq_journal_put_u32(uint8_t *at, uint32_t value);
uint32_t nmq_journal_u32_at(const uint8_t *at);

// Appends the record. Returns NMQ_OK; or NMQ_ENOMEM, or NMQ_ETOOBIG for one of 4 GiB, with
// the buffer as it was.
int nmq_journal_put(nmq_buf *out, const nmq_journal_record *record);

// Writes the number in place of each 0 with which a record begins, of those in the bytes:
// all of them begin with one of 8 bytes. Returns how many records there are.
uint64_t nmq_journal_number(uint8_t *at, size_t len, uint64_t number);

// Takes the first record that this version knows off the bytes, which end where a record
// does. Returns NMQ_OK, or NMQ_EMALFORMED: there is none, or it is no record.
int nmq_journal_get(nmq_bytes *in, nmq_journal_record *out);
