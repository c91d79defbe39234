// broker.h - a broker over any transport: what nmq.h cannot say to Python, for broker.c and
// the tests.
#pragma once
#include "io/stream.h"
#include "nmq.h"
#include "route/router.h"

// As nmq_broker_new, over that transport. NULL: nng's.
int nmq_broker_new_over(const nmq_options *options, nmq_listen_fn *listen,
                        nmq_broker **out);

// Who asks for first and last subscriptions does it there: route/interest.h.
nmq_router *nmq_broker_router(nmq_broker *broker);
