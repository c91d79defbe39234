// kick.h - whose connections are to end. cffi reads this file: no macros here.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whose connections end, because these users may not come in any more. It does not mean
// clients whose name a certificate proves, nor, unless `foreign`, those whose name a method
// or an authenticator with users of its own has proved.
typedef struct {
    const char *const *user_names; // NUL-terminated
    size_t user_name_count;
    bool every_user;           // all that have a user name
    bool foreign;              // see above
    bool other_names;          // not those users: all that have another user name
    const uint32_t *listeners; // numbers: came there without a user name; 0: restored
    size_t listener_count;
    bool every_foreign; // also all whom a method with users of its own, or a token, let in
    bool with_names;    // also clients that came there with one
    bool wills;         // are sent; otherwise dropped, also those of clients that are away
    uint8_t reason_code;
} nmq_kick;
