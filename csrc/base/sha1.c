#include "base/sha1.h"

#include <string.h>

enum { BLOCK = 64 };

static uint32_t
rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static void
add_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[80];
    uint32_t v[5];

    for (size_t i = 0; i < 16; i++) {
        const uint8_t *b = block + 4 * i;
        w[i] = (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 | (uint32_t) b[2] << 8 | b[3];
    }
    for (size_t i = 16; i < 80; i++) {
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    memcpy(v, h, sizeof v);
    for (size_t i = 0; i < 80; i++) {
        uint32_t parity = v[1] ^ v[2] ^ v[3];
        uint32_t f = i < 20   ? ((v[1] & v[2]) | (~v[1] & v[3])) + 0x5a827999
                     : i < 40 ? parity + 0x6ed9eba1
                     : i < 60 ? ((v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3])) + 0x8f1bbcdc
                              : parity + 0xca62c1d6;
        uint32_t next = rotate(v[0], 5) + f + v[4] + w[i];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (size_t i = 0; i < 5; i++) {
        h[i] += v[i];
    }
}

void
nmq_sha1(nmq_bytes in, uint8_t digest[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t last[2 * BLOCK] = {0};
    size_t rest = in.len % BLOCK;
    size_t size = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    uint64_t bits = (uint64_t) in.len * 8;

    for (size_t at = 0; at + BLOCK <= in.len; at += BLOCK) {
        add_block(h, in.at + at);
    }
    if (rest > 0) {
        memcpy(last, in.at + in.len - rest, rest);
    }
    last[rest] = 0x80;
    for (size_t i = 0; i < 8; i++) {
        last[size - 1 - i] = (uint8_t) (bits >> 8 * i);
    }
    for (size_t at = 0; at < size; at += BLOCK) {
        add_block(h, last + at);
    }
    for (size_t i = 0; i < NMQ_SHA1_BYTES; i++) {
        digest[i] = (uint8_t) (h[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void
nmq_base64(nmq_bytes in, char *to)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t at = 0; at < in.len; at += 3) {
        size_t n = in.len - at < 3 ? in.len - at : 3;
        uint32_t three = (uint32_t) in.at[at] << 16;
        three |= n > 1 ? (uint32_t) in.at[at + 1] << 8 : 0;
        three |= n > 2 ? in.at[at + 2] : 0;
        *to++ = digits[three >> 18];
        *to++ = digits[three >> 12 & 63];
        *to++ = digits[three >> 6 & 63];
        *to++ = digits[three & 63];
        for (size_t pad = n; pad < 3; pad++) {
            to[(ptrdiff_t) pad - 3] = '=';
        }
    }
    *to = 0;
}
