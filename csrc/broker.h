// broker.h - a broker over any transport: what nmq.h cannot say to Python, for broker.c and
// the tests.
#pragma once
#include "io/stream.h"
#include "nmq.h"

// As nmq_broker_new, over that transport. NULL: nng's.
int nmq_broker_new_over(const nmq_options *options, nmq_listen_fn *listen,
                        nmq_broker **out);
