// own.h - what consumers and bridges do with their clients, which nobody registers: what
// they subscribe to, and their end.
//
// Threads  thread-safe; call without a lock but the list's, where nothing else is said. One
//          at a time for each client.
#pragma once
#include "route/consumer.h"

// Subscribes the client, and notes that it gets retained messages as the options say.
// Returns NMQ_OK or what nmq_subscriptions_put does.
int nmq_own_subscribe(nmq_consumers *consumers, nmq_client *client,
                      const nmq_filter *filter, uint8_t options, uint32_t identifier);

// Ends the subscriptions of which `keeps` says false. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_own_unsubscribe(nmq_consumers *consumers, nmq_client *client,
                        bool (*keeps)(const void *arg, nmq_bytes filter), const void *arg);

// Forgets the consumer, or client of a bridge, of that name, and what it keeps. Returns
// whether there was one. Takes the list's lock.
bool nmq_own_forget(nmq_consumers *consumers, nmq_bytes name, bool bridges);
