#include "store/journal_record.h"

#include <endian.h>
#include <string.h>

#include "base/status.h"

enum { LENGTH_BYTES = 4, HEAD_BYTES = LENGTH_BYTES + 1 };

#define ABSENT UINT32_MAX

// --- numbers: `bytes` of them, the lowest first

static uint8_t *
put_number(uint8_t *at, uint64_t value, unsigned bytes)
{
    value = htole64(value);
    memcpy(at, &value, bytes);
    return at + bytes;
}

static uint64_t
number_at(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return le64toh(value);
}

uint8_t *
nmq_journal_put_u32(uint8_t *at, uint32_t value)
{
    return put_number(at, value, sizeof value);
}

uint32_t
nmq_journal_u32_at(const uint8_t *at)
{
    return (uint32_t) number_at(at, sizeof(uint32_t));
}

// A field that an older version did not write is 0. Returns false for half of one.
static bool
get_number(nmq_bytes *in, uint64_t *out, unsigned bytes)
{
    if (in->len < bytes) {
        *out = 0;
        return in->len == 0;
    }
    *out = number_at(in->at, bytes);
    *in = (nmq_bytes){in->at + bytes, in->len - bytes};
    return true;
}

// --- texts

static size_t
bytes_of_text(nmq_bytes text)
{
    return LENGTH_BYTES + text.len;
}

static uint8_t *
put_text(uint8_t *at, nmq_bytes text)
{
    at = put_number(at, text.at != NULL ? text.len : ABSENT, LENGTH_BYTES);
    if (text.len > 0) {
        memcpy(at, text.at, text.len);
    }
    return at + text.len;
}

static bool
get_text(nmq_bytes *in, nmq_bytes *out)
{
    uint64_t len;

    *out = (nmq_bytes){0};
    if (in->len == 0) {
        return true;
    }
    if (!get_number(in, &len, LENGTH_BYTES)) {
        return false;
    }
    if (len == ABSENT) {
        return true;
    }
    if (len > in->len) {
        return false;
    }
    *out = (nmq_bytes){in->at, (size_t) len};
    *in = (nmq_bytes){in->at + len, in->len - (size_t) len};
    return true;
}

// --- a record of each kind

// Chooses what is done with a field: the first for a number, the second for a text.
#define BY_u8(number, text)   number
#define BY_u16(number, text)  number
#define BY_u32(number, text)  number
#define BY_u64(number, text)  number
#define BY_i64(number, text)  number
#define BY_text(number, text) text

#define FIELD(type, name) bytes += BY_##type(sizeof r->name, bytes_of_text(r->name));
#define RECORD(number, NAME, name, fields)                                                 \
    static size_t bytes_of_##name(const nmq_##name##_record *r)                            \
    {                                                                                      \
        size_t bytes = 0;                                                                  \
        fields return bytes;                                                               \
    }
#include "journal.def"
#undef FIELD

// Puts the fields. Returns where they end: those behind that are 0 or absent, as they are
// for whoever reads a record that does not have them.
#define FIELD(type, name)                                                                  \
    at = BY_##type(put_number(at, (uint64_t) r->name, sizeof r->name),                     \
                   put_text(at, r->name));                                                 \
    end = BY_##type(r->name != 0, r->name.at != NULL) ? at : end;
#define RECORD(number, NAME, name, fields)                                                 \
    static uint8_t *put_##name(uint8_t *at, const nmq_##name##_record *r)                  \
    {                                                                                      \
        uint8_t *end = at;                                                                 \
        fields return end;                                                                 \
    }
#include "journal.def"
#undef FIELD

#define FIELD(type, name)                                                                  \
    whole = whole &&                                                                       \
            BY_##type(get_number(&in, &value, sizeof r->name), get_text(&in, &r->name));   \
    BY_##type(r->name = (nmq_field_##type) value, (void) value);
#define RECORD(number, NAME, name, fields)                                                 \
    static bool get_##name(nmq_bytes in, nmq_##name##_record *r)                           \
    {                                                                                      \
        bool whole = true;                                                                 \
        uint64_t value = 0;                                                                \
        fields return whole;                                                               \
    }
#include "journal.def"
#undef FIELD

static size_t
bytes_of(const nmq_journal_record *record)
{
    switch (record->kind) {
#define RECORD(number, NAME, name, fields)                                                 \
    case NMQ_JOURNAL_##NAME: return HEAD_BYTES + bytes_of_##name(&record->name);
#include "journal.def"
    default: return 0;
    }
}

int
nmq_journal_put(nmq_buf *out, const nmq_journal_record *record)
{
    size_t bytes = bytes_of(record);

    if (bytes > UINT32_MAX) {
        return NMQ_ETOOBIG;
    }
    uint8_t *at = nmq_buf_reserve(out, bytes);
    if (at == NULL) {
        return NMQ_ENOMEM;
    }
    uint8_t *end = at + HEAD_BYTES;
    switch (record->kind) {
#define RECORD(number, NAME, name, fields)                                                 \
    case NMQ_JOURNAL_##NAME: end = put_##name(end, &record->name); break;
#include "journal.def"
    default: break;
    }
    size_t len = (size_t) (end - at);
    at = put_number(at, len - LENGTH_BYTES, LENGTH_BYTES);
    *at = record->kind;
    out->len += len;
    return NMQ_OK;
}

uint64_t
nmq_journal_number(uint8_t *at, size_t len, uint64_t number)
{
    const uint8_t *end = at + len;
    uint64_t count = 0;

    for (; at < end; at += LENGTH_BYTES + number_at(at, LENGTH_BYTES)) {
        if (number_at(at + HEAD_BYTES, sizeof number) == 0) {
            (void) put_number(at + HEAD_BYTES, number, sizeof number);
        }
        count++;
    }
    return count;
}

// Reads the fields. Returns 1; 0 for a kind of another version; or NMQ_EMALFORMED.
static int
get_fields(nmq_bytes in, nmq_journal_record *out)
{
    switch (out->kind) {
#define RECORD(number, NAME, name, fields)                                                 \
    case NMQ_JOURNAL_##NAME: return get_##name(in, &out->name) ? 1 : NMQ_EMALFORMED;
#include "journal.def"
    default: return 0;
    }
}

int
nmq_journal_get(nmq_bytes *in, nmq_journal_record *out)
{
    while (in->len >= HEAD_BYTES) {
        uint64_t len = number_at(in->at, LENGTH_BYTES);
        if (len == 0 || len > in->len - LENGTH_BYTES) {
            break;
        }
        nmq_bytes fields = {in->at + HEAD_BYTES, (size_t) len - 1};
        out->kind = in->at[LENGTH_BYTES];
        int rv = get_fields(fields, out);
        if (rv < 0) {
            break;
        }
        *in =
            (nmq_bytes){in->at + LENGTH_BYTES + len, in->len - LENGTH_BYTES - (size_t) len};
        if (rv > 0) {
            return NMQ_OK;
        }
    }
    return NMQ_EMALFORMED;
}
