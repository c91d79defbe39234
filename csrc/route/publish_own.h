// publish_own.h - a message of the program that the broker runs in, to all who are to have
// it.
//
// Threads  thread-safe; call without a lane or lock.
#pragma once
#include "route/publication.h"
#include "route/sessions.h"

// One that a client publishes has its identity, as far as there is such a client or its
// session, and counts as its own (No Local). Its topic is not put below the client's mount
// point. Returns how many sessions took it, NMQ_ETOPIC, NMQ_EMALFORMED for properties that
// are none or do not travel, NMQ_EINVAL for a QoS over 2, NMQ_ETOOBIG or NMQ_ENOMEM;
// NMQ_ENOSPC or NMQ_ESTORE for one that would have to be logged (nmq_journal_may).
int nmq_publish_own(nmq_sessions *sessions, const nmq_publication *publication);
