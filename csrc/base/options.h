// options.h - what the core can be told, as csrc/options.def declares it.
//
// Threads  while a broker runs, others read its options with NMQ_LIVE (base/live.h).
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
#define OPTION(type, name, least, most, help) type name;
#define TEXT(name, help)                      const char *name;
#include "options.def"
} nmq_options;

// Whether each option is within its range.
bool nmq_options_fit(const nmq_options *options);

// Puts the numbers of *from in force one by one while others read *to. Texts stay as they
// are.
void nmq_options_take(nmq_options *to, const nmq_options *from);
