// query_run.h - answers a query (query.h).
//
// Threads  thread-safe; call without a lane, a client's or a link's lock. It may take long:
//          not for an event loop, unless for one client_id of clients or sessions.
#pragma once
#include "route/page.h"
#include "route/query.h"
#include "route/sessions.h"

// Returns NMQ_OK, and *out is the caller's; NMQ_EINVAL for a kind, a limit or a text out of
// its range, or a part of the filter that the kind does not know; NMQ_EFILTER, NMQ_ETOPIC,
// NMQ_EADDR for an address that cannot be read; or NMQ_ENOMEM.
int nmq_query_run(nmq_sessions *sessions, const nmq_query *query, nmq_page **out);
