#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

enum { EVERY_MS = 60000 };

bool
nmq_log_wants(const nmq_log *log, int level)
{
    return level >= __atomic_load_n(&log->level, __ATOMIC_RELAXED);
}

void
nmq_log_write(const nmq_log *log, int level, const char *format, ...)
{
    char line[NMQ_LOG_LINE_BYTES];
    va_list args;

    if (!nmq_log_wants(log, level)) {
        return;
    }
    va_start(args, format);
    (void) vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log->write(log->arg, level, line);
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
