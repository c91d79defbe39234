// journaling.h - a journal under threads: a committer writes what others log to a disk in
// memory.
//
// Promise: no race, no leak, no hang; and the log is that of a broker, which another one
// can become.
#pragma once
#include "nmq.h"

// The broker, which keeps nothing yet, logs from now on.
void journaling_begin(nmq_broker *broker);

// The last commit; then nothing waits. Call it once the broker has stopped.
void journaling_check(nmq_broker *broker);
void journaling_end(void); // the broker is freed
