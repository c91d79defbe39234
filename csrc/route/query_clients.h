// query_clients.h - the pages of clients, sessions and details (query.h).
//
// Threads  thread-safe; call without a lane, a client's or a link's lock. References to a
//          few clients are taken with the registry's lock; then each is looked at alone.
#pragma once
#include "route/sessions.h"
#include "route/walk.h"

// `filtered`: the query has a filter. Returns as nmq_query_run.
int nmq_query_clients(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                      nmq_page **out);
int nmq_query_sessions(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                       nmq_page **out);
int nmq_query_details(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                      nmq_page **out);
