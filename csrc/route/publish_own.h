// publish_own.h - a message of the program that the broker runs in, to all who are to have
// it.
//
// Threads  thread-safe; call without a lane or lock.
#pragma once
#include "route/publication.h"
#include "route/router.h"

// Returns how many sessions took it, NMQ_ETOPIC, NMQ_EMALFORMED for properties that are
// none or do not travel, NMQ_EINVAL for a QoS over 2, NMQ_ETOOBIG or NMQ_ENOMEM.
int nmq_publish_own(nmq_router *router, const nmq_publication *publication);
