// bytes.h - a borrowed run of bytes, and a buffer that grows.
//
// nmq_bytes  is borrowed: it dies with the call unless a contract says more.
// nmq_buf    is owned; a zeroed one is empty, nmq_buf_free makes it empty again.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *at;
    size_t len;
} nmq_bytes;

typedef struct {
    uint8_t *at;
    size_t len;
    size_t cap;
} nmq_buf;

bool nmq_bytes_equal(nmq_bytes a, nmq_bytes b);

// The slice of a NUL-terminated text, without the NUL.
nmq_bytes nmq_bytes_of(const char *text);

// A 64-bit hash of the bytes. Its key is drawn at random once a process, so that peers
// cannot choose names that collide.
uint64_t nmq_bytes_hash(nmq_bytes in);

// Copies `in` to the heap with a NUL behind it; *out is owned: nmq_bytes_free. Returns
// NMQ_OK or NMQ_ENOMEM.
int nmq_bytes_copy(nmq_bytes in, nmq_bytes *out);
void nmq_bytes_free(nmq_bytes *owned); // takes a zeroed one too, and leaves a zeroed one

// Makes room for `more` bytes behind len, growing by doubling. Returns where they go, or
// NULL when memory is out (the buffer is as it was). The caller adds to len itself.
uint8_t *nmq_buf_reserve(nmq_buf *buf, size_t more);

// Appends a copy. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_buf_put(nmq_buf *buf, nmq_bytes in);

void nmq_buf_free(nmq_buf *buf);

// The same, for a secret: its bytes are overwritten first.
void nmq_buf_wipe(nmq_buf *buf);
