#include "store/wal_block.h"

#include <string.h>

#include "base/crc32c.h"

static const uint8_t magic[4] = {'N', 'M', 'Q', 'L'};

// Where things lie in a head.
enum {
    MAGIC_AT = 0,
    CRC_AT = 4,
    FORMAT_AT = 8, // the checksum counts from here on
    LAST_AT = 12,
    STORE_AT = 16,
    SEQUENCE_AT = 24,
    FROM_AT = 32,
    WALL_AT = 40,
    SEGMENT_AT = 48,
    PART_AT = 52,
    LEN_AT = 56,
    BEFORE_AT = 60,
};

static void
put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t) (value >> 8 * i);
    }
}

static void
put_u64(uint8_t *at, uint64_t value)
{
    put_u32(at, (uint32_t) value);
    put_u32(at + 4, (uint32_t) (value >> 32));
}

static uint32_t
u32_at(const uint8_t *at)
{
    return (uint32_t) at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 |
           (uint32_t) at[3] << 24;
}

static uint64_t
u64_at(const uint8_t *at)
{
    return u32_at(at) | (uint64_t) u32_at(at + 4) << 32;
}

void
nmq_wal_block_seal(nmq_wal_block *block, const uint8_t *bytes,
                   uint8_t head[NMQ_WAL_HEAD_BYTES])
{
    const nmq_bytes counted = {head + FORMAT_AT, NMQ_WAL_HEAD_BYTES - FORMAT_AT};

    block->format = NMQ_WAL_FORMAT;
    memcpy(head + MAGIC_AT, magic, sizeof magic);
    put_u32(head + FORMAT_AT, block->format);
    put_u32(head + LAST_AT, block->last);
    put_u64(head + STORE_AT, block->store);
    put_u64(head + SEQUENCE_AT, block->sequence);
    put_u64(head + FROM_AT, block->from);
    put_u64(head + WALL_AT, (uint64_t) block->wall_ms);
    put_u32(head + SEGMENT_AT, block->segment);
    put_u32(head + PART_AT, block->part);
    put_u32(head + LEN_AT, block->len);
    put_u32(head + BEFORE_AT, block->before);
    block->crc = nmq_crc32c(nmq_crc32c(0, counted), (nmq_bytes){bytes, block->len});
    put_u32(head + CRC_AT, block->crc);
}

bool
nmq_wal_block_read(const uint8_t *head, uint64_t room, nmq_wal_block *out)
{
    if (memcmp(head + MAGIC_AT, magic, sizeof magic) != 0) {
        return false;
    }
    *out = (nmq_wal_block){
        .store = u64_at(head + STORE_AT),
        .sequence = u64_at(head + SEQUENCE_AT),
        .from = u64_at(head + FROM_AT),
        .wall_ms = (int64_t) u64_at(head + WALL_AT),
        .segment = u32_at(head + SEGMENT_AT),
        .part = u32_at(head + PART_AT),
        .len = u32_at(head + LEN_AT),
        .before = u32_at(head + BEFORE_AT),
        .crc = u32_at(head + CRC_AT),
        .format = u32_at(head + FORMAT_AT),
        .last = u32_at(head + LAST_AT) != 0,
    };
    return out->sequence != 0 && out->len <= NMQ_WAL_BLOCK_BYTES - NMQ_WAL_HEAD_BYTES &&
           nmq_wal_block_span(out->len) <= room;
}

bool
nmq_wal_block_is_whole(const nmq_wal_block *block, const uint8_t *head)
{
    const nmq_bytes counted = {head + FORMAT_AT,
                               NMQ_WAL_HEAD_BYTES - FORMAT_AT + (size_t) block->len};

    return nmq_crc32c(0, counted) == block->crc;
}
