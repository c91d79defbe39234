// query_topics.h - what queries of subscriptions and of routes ask of a filter.
//
// Threads  none of its own.
#pragma once
#include "mqtt/topic.h"
#include "route/query.h"

// Whether the query lets in a subscription to that filter, without $share, of that group;
// group.at is NULL where it is not shared.
bool nmq_query_fits_filter(const nmq_query *query, nmq_bytes filter, nmq_bytes group);
