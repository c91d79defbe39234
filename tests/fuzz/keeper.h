// keeper.h - a broker that keeps something of every kind, for targets that take it over.
//
// Threads  one.
#pragma once
#include "end.h"

extern const nmq_options fuzz_kept_options;

// Publishes.
void fuzz_tell(nmq_broker *broker, nmq_bytes topic, const char *payload, uint8_t qos,
               bool retain);

// Retained messages, and two sessions that are away: with wills, subscriptions, and
// messages in flight and queued. settle: called where a journal is to be durable, so that
// the next packet comes; NULL: there is none.
void fuzz_keep(nmq_broker *broker, void (*settle)(void *arg), void *arg);
