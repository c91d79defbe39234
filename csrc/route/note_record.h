// note_record.h - one record on the note ring. cffi reads this file: no macros here.
//
// Owner    a record owns its text; nmq_note_fini (note.h) frees it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t kind; // enum nmq_note_kind: csrc/events.def says what the fields are
    int32_t code;
    uint64_t number;
    uint32_t text_len;
    char *text; // not NUL-safe: text_len counts
} nmq_note;
