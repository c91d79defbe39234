// psk.h - a key that the broker shares with a client. cffi reads this file: no macros here.
#pragma once
#include <stdint.h>

// Borrowed for the call.
typedef struct {
    const char *identity; // who has it, NUL-terminated
    const uint8_t *key;
    uint8_t key_bytes;
} nmq_tls_psk;
