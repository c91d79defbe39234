#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { EVERY_MS = 60000 };

void
nmq_log_write(const nmq_log *log, int level, const char *format, ...)
{
    char line[NMQ_LOG_LINE_BYTES];
    va_list args;

    if (level < __atomic_load_n(&log->level, __ATOMIC_RELAXED)) {
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
    int64_t last = __atomic_load_n(last_ms, __ATOMIC_RELAXED);

    return (last == 0 || now_ms - last >= EVERY_MS) &&
           __atomic_compare_exchange_n(last_ms, &last, now_ms, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

void
nmq_log_set_level(nmq_log *log, int level)
{
    __atomic_store_n(&log->level, level, __ATOMIC_RELAXED);
}
