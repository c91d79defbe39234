// query_subscriptions.h - the pages of subscriptions (query.h).
//
// Threads  thread-safe; call without a lane, a client's or a link's lock. In a step
//          the tree is frozen: no publisher waits.
#pragma once
#include "route/sessions.h"
#include "route/walk.h"

// `filtered`: the query has a filter. Returns as nmq_query_run.
int nmq_query_subscriptions(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                            nmq_page **out);
