// handover.h - what the next process takes over from this one: retained messages and kept
// sessions, as one run of bytes in a file without a name.
//
//     save:     header, retained messages, sessions      restore: the same, front to back
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
#include "route/registry.h"

// Writes it to the descriptor. Returns how many sessions, NMQ_ENOMEM or NMQ_EIO.
int nmq_handover_save(nmq_router *router, int fd);

// Takes over what is in the bytes, into a router that has no client. Returns how many
// sessions, NMQ_ENOMEM, or NMQ_EMALFORMED for bytes that are none of nmq_handover_save;
// what came before the fault stays.
int nmq_handover_restore(nmq_router *router, nmq_bytes in);
