// kick.h - whose connections are to end. cffi reads this file: no macros here.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whose connections end, because he may not come in any more. Those are not meant whom a
// certificate stands for, or a method with users of its own.
typedef struct {
    const char *const *user_names; // NUL-terminated
    size_t user_name_count;
    bool every_user;           // all that have a user name
    bool others;               // all that have another user name than those
    const uint32_t *listeners; // numbers: who came there without a user name; 0: before
    size_t listener_count;
    bool with_names; // and who came there with one
    bool wills;      // are sent; else they are dropped, those of clients that are away too
    uint8_t reason_code;
} nmq_kick;
