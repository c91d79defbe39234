// handover_save.h - what the next process takes over from this one: retained messages and
// kept sessions, those of consumers too, as one run of records (store/journal_record.h) in
// a file without a name.
//
// The next process may be of another version. Shared groups keep their numbers, so that a
// delivery still knows whose it is. The broker's own topics, $SYS, are left out: the next
// process publishes its own.
//
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/consumer.h"

// Writes it to the descriptor. Returns how many sessions, NMQ_ENOMEM or NMQ_EIO.
int nmq_handover_save(nmq_sessions *sessions, nmq_consumers *consumers, int fd);
