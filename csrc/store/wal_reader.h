// wal_reader.h - a place in the files of a write-ahead log, and the block that lies there.
//
// Owner    the caller: nmq_wal_reader_fini. A zeroed one with its segments, once it has
//          passed 0 bytes, is at the first page of all.
// Threads  one at a time.
#pragma once
#include "store/wal_block.h"
#include "store/wal_segments.h"

typedef struct {
    nmq_wal_segments *segments;
    uint8_t *window; // bytes of the file, from window_at on
    uint64_t window_at;
    size_t window_len;
    uint64_t at;    // where it is in the file; a page
    uint32_t index; // the file's place in segments->at
    int file;
    bool is_open;
} nmq_wal_reader;

// Reads the block that begins there; not at the end. Returns 1: it is whole, and *bytes are
// its bytes until the next call; 0: there is none, and *block is its head or zeros;
// NMQ_ENOMEM; or NMQ_EIO, with segments->error.
int nmq_wal_reader_look(nmq_wal_reader *reader, nmq_wal_block *block,
                        const uint8_t **bytes);

// Goes on by so many bytes, whole pages; from the end of a file to the next one with a
// page.
void nmq_wal_reader_pass(nmq_wal_reader *reader, size_t bytes);

static inline bool
nmq_wal_reader_is_at_end(const nmq_wal_reader *reader)
{
    return reader->index == reader->segments->count;
}

void nmq_wal_reader_fini(nmq_wal_reader *reader);
