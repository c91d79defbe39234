// wal_block.h - a block of the write-ahead log: a head, bytes, and zeros up to a page's
// end.
//
//     page              page                       page
//     [head][bytes] 0 0 [head][bytes][bytes][bytes][head][bytes] 0 0 0 0
//
// A commit is one block, or several when it is large; each knows the checksum of the one
// before it, so that blocks of two commits are never taken for one. Numbers are
// little-endian. The head is the same in every format; what the bytes mean is not.
//
// Threads  none of its own.
#pragma once
#include "base/bytes.h"

enum {
    NMQ_WAL_FORMAT = 1,
    NMQ_WAL_PAGE_BYTES = 4096, // where a block begins: no page holds two of them
    NMQ_WAL_HEAD_BYTES = 64,
    NMQ_WAL_BLOCK_BYTES = 256 * 1024, // of one block, at most
};

typedef struct {
    uint64_t store;    // drawn at random when the store was made
    uint64_t sequence; // of the commit, from 1
    uint64_t from;     // what is kept begins with that commit
    int64_t wall_ms;   // when it was written
    uint32_t segment;  // number of the file
    uint32_t part;     // of the commit, from 0
    uint32_t len;      // bytes behind the head
    uint32_t before;   // checksum of the block before, 0: of the first one of the store
    uint32_t crc;      // checksum of this one
    uint32_t format;
    bool last; // of its commit
} nmq_wal_block;

// What it takes on disk.
static inline size_t
nmq_wal_block_span(size_t len)
{
    size_t page = NMQ_WAL_PAGE_BYTES;

    return (NMQ_WAL_HEAD_BYTES + len + page - 1) / page * page;
}

// Writes the head of a block with these bytes (block->len of them), and sets crc and
// format.
void nmq_wal_block_seal(nmq_wal_block *block, const uint8_t *bytes,
                        uint8_t head[NMQ_WAL_HEAD_BYTES]);

// Reads a head, of a page. Returns whether it may be one of a block that lies within
// `room` bytes; only its checksum tells.
bool nmq_wal_block_read(const uint8_t *head, uint64_t room, nmq_wal_block *out);

// Whether the block, of which head and bytes lie there, is as it was written.
bool nmq_wal_block_is_whole(const nmq_wal_block *block, const uint8_t *head);
