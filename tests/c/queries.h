// queries.h - queries and interest beside everything else that stress.c does.
#pragma once
#include "broker.h"

// Begins to listen to first and last subscriptions of all filters.
void queries_begin(nmq_broker *broker);

// A thread: asks for every kind of row, page by page, upward and downward, by offset and by
// cursor, and lets others hear of first and last subscriptions for a while. arg: the
// broker.
void *queries_ask(void *arg);

// The broker has shut down: what was heard is what there is.
void queries_end(nmq_broker *broker);
