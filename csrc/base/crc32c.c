#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT32_C(0x82f63b78) // of RFC 3720, its lowest bit first

enum { WORD_BYTES = 8, BYTE_VALUES = 256 };

// tables[n][b]: what a byte does with n others behind it.
static uint32_t tables[WORD_BYTES][BYTE_VALUES];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static void
make_tables(void)
{
    for (uint32_t b = 0; b < BYTE_VALUES; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        }
        tables[0][b] = crc;
    }
    for (uint32_t b = 0; b < BYTE_VALUES; b++) {
        for (int n = 1; n < WORD_BYTES; n++) {
            uint32_t crc = tables[n - 1][b];
            tables[n][b] = crc >> 8 ^ tables[0][crc & 0xff];
        }
    }
}

uint32_t
nmq_crc32c_by_table(uint32_t crc, nmq_bytes in)
{
    const uint8_t *at = in.at;
    size_t left = in.len;

    (void) pthread_once(&tables_made, make_tables);
    crc = ~crc;
    for (; left >= WORD_BYTES; at += WORD_BYTES, left -= WORD_BYTES) {
        uint32_t low = crc ^ ((uint32_t) at[0] | (uint32_t) at[1] << 8 |
                              (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24);
        crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^
              tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^ tables[3][at[4]] ^
              tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
    }
    for (; left > 0; at++, left--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
    }
    return ~crc;
}

#ifdef __x86_64__

// The instruction takes three cycles, and one may begin in each: so three stretches are
// summed at once, and the first two sums are moved on over what is behind them.
enum { LANE_BYTES = 1024, LANES = 3 };

static uint32_t moved[sizeof(uint32_t)][BYTE_VALUES]; // by LANE_BYTES zeros
static pthread_once_t moved_made = PTHREAD_ONCE_INIT;

__attribute__((target("sse4.2"))) static void
make_moved(void)
{
    uint32_t bits[32];

    for (int bit = 0; bit < 32; bit++) {
        uint64_t crc = UINT64_C(1) << bit;
        for (int i = 0; i < LANE_BYTES / WORD_BYTES; i++) {
            crc = __builtin_ia32_crc32di(crc, 0);
        }
        bits[bit] = (uint32_t) crc;
    }
    for (uint32_t i = 0; i < sizeof(uint32_t) * BYTE_VALUES; i++) {
        uint32_t *to = &moved[i / BYTE_VALUES][i % BYTE_VALUES];
        for (uint32_t bit = 0; bit < 8; bit++) {
            *to ^= (i >> bit & 1) != 0 ? bits[i / BYTE_VALUES * 8 + bit] : 0;
        }
    }
}

static uint32_t
move_on(uint32_t crc)
{
    return moved[0][crc & 0xff] ^ moved[1][crc >> 8 & 0xff] ^ moved[2][crc >> 16 & 0xff] ^
           moved[3][crc >> 24];
}

static uint64_t
word_at(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t
sum_lanes(uint32_t crc, const uint8_t *at)
{
    uint64_t a = crc, b = 0, c = 0;

    for (size_t i = 0; i < LANE_BYTES; i += WORD_BYTES) {
        a = __builtin_ia32_crc32di(a, word_at(at + i));
        b = __builtin_ia32_crc32di(b, word_at(at + LANE_BYTES + i));
        c = __builtin_ia32_crc32di(c, word_at(at + (size_t) 2 * LANE_BYTES + i));
    }
    return move_on(move_on((uint32_t) a) ^ (uint32_t) b) ^ (uint32_t) c;
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, nmq_bytes in)
{
    const uint8_t *at = in.at;
    size_t left = in.len;

    crc = ~crc;
    if (left >= LANES * LANE_BYTES) {
        (void) pthread_once(&moved_made, make_moved);
    }
    for (; left >= LANES * LANE_BYTES; left -= LANES * LANE_BYTES) {
        crc = sum_lanes(crc, at);
        at += LANES * LANE_BYTES;
    }
    uint64_t wide = crc;
    for (; left >= WORD_BYTES; at += WORD_BYTES, left -= WORD_BYTES) {
        wide = __builtin_ia32_crc32di(wide, word_at(at));
    }
    crc = (uint32_t) wide;
    for (; left > 0; at++, left--) {
        crc = __builtin_ia32_crc32qi(crc, *at);
    }
    return ~crc;
}

uint32_t
nmq_crc32c(uint32_t crc, nmq_bytes in)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, in)
                                            : nmq_crc32c_by_table(crc, in);
}

#else

uint32_t
nmq_crc32c(uint32_t crc, nmq_bytes in)
{
    return nmq_crc32c_by_table(crc, in);
}

#endif
