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

// Reads the first character of `in`, which is not empty. Returns the bytes it took: 1 for a
// byte that is no UTF-8, which stands for itself.
static size_t
next(nmq_bytes in, uint32_t *c)
{
    const uint8_t first = in.at[0];
    const size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;

    *c = first < 0x80 ? first : 0xfffd;
    if (more == 0 || more >= in.len || first >= 0xf8) {
        return 1;
    }
    uint32_t read = first & (0x3fU >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((in.at[i] & 0xc0) != 0x80) {
            return 1;
        }
        read = read << 6 | (in.at[i] & 0x3fU);
    }
    *c = read;
    return more + 1;
}

// Writes the text. What would be obeyed becomes \xNN or \uNNNN, and each of the `marked`
// gets a \ before it. The text is cut where there is no room for one character more.
static void
show(nmq_bytes in, const char *marked, char *out, size_t room)
{
    while (in.len > 0) {
        char made[ESCAPED_BYTES + 1];
        uint32_t c;
        size_t taken = next(in, &c);
        size_t len = taken;
        if (is_obeyed(c)) {
            len =
                (size_t) snprintf(made, sizeof made, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        } else if (c < 0x80 && strchr(marked, (int) c) != NULL) {
            len = (size_t) snprintf(made, sizeof made, "\\%c", (int) c);
        } else {
            memcpy(made, in.at, taken);
        }
        if (len >= room) {
            break;
        }
        memcpy(out, made, len);
        in = (nmq_bytes){in.at + taken, in.len - taken};
        out += len;
        room -= len;
    }
    *out = '\0';
}

nmq_log_text
nmq_log_quoted(nmq_bytes in)
{
    nmq_log_text shown;

    show(in, "'\\", shown.text, sizeof shown.text);
    return shown;
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
    show(nmq_bytes_of(line), "", shown, sizeof shown);
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
