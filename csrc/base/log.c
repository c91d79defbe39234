#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { EVERY_MS = 60000, ESCAPED_BYTES = 6 };

// Whether a terminal or a reader would obey the character instead of showing it: controls,
// line ends, marks that turn the direction of writing.
static bool
is_obeyed(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e ||
           c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

// Reads one character of up to three bytes; none that is obeyed has more. Returns the bytes
// it took: 1 for what is no UTF-8, which stands for itself.
static size_t
next(const unsigned char *at, uint32_t *c)
{
    *c = at[0];
    if ((at[0] & 0xe0) == 0xc0 && (at[1] & 0xc0) == 0x80) {
        *c = (uint32_t) (at[0] & 0x1f) << 6 | (at[1] & 0x3fU);
        return 2;
    }
    if ((at[0] & 0xf0) == 0xe0 && (at[1] & 0xc0) == 0x80 && (at[2] & 0xc0) == 0x80) {
        *c = (uint32_t) (at[0] & 0x0f) << 12 | (at[1] & 0x3fU) << 6 | (at[2] & 0x3fU);
        return 3;
    }
    if (*c >= 0x80) {
        *c = 0xfffd;
    }
    return 1;
}

// Writes the line with what would be obeyed as \xNN or \uNNNN; it is cut where there is no
// more room.
static void
show(const char *line, char *out, size_t room)
{
    const unsigned char *at = (const unsigned char *) line;

    while (*at != '\0' && room > ESCAPED_BYTES) {
        uint32_t c;
        size_t taken = next(at, &c);
        size_t made = taken;
        if (is_obeyed(c)) {
            made = (size_t) snprintf(out, room, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        } else {
            memcpy(out, at, taken);
        }
        at += taken;
        out += made;
        room -= made;
    }
    *out = '\0';
}

bool
nmq_log_wants(const nmq_log *log, int level)
{
    return level >= __atomic_load_n(&log->level, __ATOMIC_RELAXED);
}

void
nmq_log_write(const nmq_log *log, int level, const char *format, ...)
{
    char line[NMQ_LOG_LINE_BYTES];
    char shown[NMQ_LOG_LINE_BYTES];
    va_list args;

    if (!nmq_log_wants(log, level)) {
        return;
    }
    va_start(args, format);
    (void) vsnprintf(line, sizeof line, format, args);
    va_end(args);
    show(line, shown, sizeof shown);
    log->write(log->arg, level, shown);
}

bool
nmq_log_is_due(int64_t *last_ms, int64_t now_ms)
{
    return nmq_clock_is_due(last_ms, now_ms, EVERY_MS);
}

void
nmq_log_set_level(nmq_log *log, int level)
{
    __atomic_store_n(&log->level, level, __ATOMIC_RELAXED);
}
