// handover_save.h - what the next process takes over from this one: retained messages and
// kept sessions, as one run of bytes in a file without a name.
//
//     header, retained messages, sessions; handover_restore.h reads them front to back
//
//     message:  its number; the first time also its parts, and who published it
//     session:  its client, subscriptions, messages, and what it is owed of the retained
//
// The bytes are for a process of this very version on this machine, whose monotonic clock
// is the same; those of another version are refused. Shared groups keep their numbers, so
// that a delivery still knows whose it is. The broker's own topics, $SYS, stay behind: the
// next process tells its own.
//
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/sessions.h"

// Writes it to the descriptor. Returns how many sessions, NMQ_ENOMEM or NMQ_EIO.
int nmq_handover_save(nmq_sessions *sessions, int fd);
