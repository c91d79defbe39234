// log.h - log lines out of the core: they are made here, and `write` writes them.
//
// Threads  thread-safe, as `write` must be. Cost: a line below the level costs a load.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

// Values of Python's logging module, so that nothing translates them.
enum nmq_log_level {
    NMQ_LOG_DEBUG = 10,
    NMQ_LOG_INFO = 20,
    NMQ_LOG_WARNING = 30,
    NMQ_LOG_ERROR = 40,
};

typedef struct {
    void (*write)(void *arg, int level, const char *line); // line is borrowed
    void *arg;
    int level; // atomic: lines below it are not made
} nmq_log;

enum {
    NMQ_LOG_LINE_BYTES = 512, // a longer line is cut
    NMQ_LOG_TEXT_BYTES = 128, // the most of one text in it, so that the rest has room
};

typedef struct {
    char text[NMQ_LOG_TEXT_BYTES + 1];
} nmq_log_text;

// A text from a peer, to stand between two ' in a line: nothing in it ends the quotation,
// and two different texts do not look the same. A ' and a \ get a \ before them; what would
// steer a terminal is written as \xNN or \uNNNN. Only whole characters are kept, as many as
// there is room for. Returned by value, so that it can be an argument of a log line.
nmq_log_text nmq_log_quoted(nmq_bytes in);

// Writes one line. The values may hold what a peer sent: characters that would steer a
// terminal, end the line or turn its direction are written as \xNN or \uNNNN.
void nmq_log_write(const nmq_log *log, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Whether lines of that level are made: ask it first where making one is work.
bool nmq_log_wants(const nmq_log *log, int level);

void nmq_log_set_level(nmq_log *log, int level);

// Whether a line that would come too often may be written now: it may once a minute.
// *last_ms (atomic) is when one was written last; 0: never.
bool nmq_log_is_due(int64_t *last_ms, int64_t now_ms);
