// broker.h - a broker over any transport: what nmq.h cannot say to Python, for broker.c and
// the tests.
#pragma once
#include "io/stream.h"
#include "net/conns.h"
#include "nmq.h"
#include "route/router.h"

// As nmq_broker_new, over that transport. NULL: nng's.
int nmq_broker_new_over(const nmq_options *options, nmq_listen_fn *listen,
                        nmq_broker **out);

// Who asks for first and last subscriptions does it there: route/interest.h.
nmq_router *nmq_broker_router(nmq_broker *broker);

// Makes a set of connections with a role of its own, that shares what the broker's have:
// routing, sessions, memory, clock and log. Connections come into it by net/start.h. The
// caller ends them (nmq_close_all) before it frees the broker, whose clock may look at the
// set until then, and calls nmq_conns_fini after it.
void nmq_broker_conns_init(nmq_broker *broker, const nmq_role *role, void *role_arg,
                           nmq_conns *out);
