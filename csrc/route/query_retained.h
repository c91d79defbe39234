// query_retained.h - the pages of retained messages (query.h).
//
// Threads  thread-safe; call without the store's lock. A step takes it.
#pragma once
#include "route/retained.h"
#include "route/walk.h"

// `filtered`: the query has a filter. Returns as nmq_query_run.
int nmq_query_retained(nmq_retained *retained, const nmq_query *query, bool filtered,
                       nmq_page **out);
