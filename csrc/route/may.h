// may.h - what a client of the broker may do by the rules in force, asked by a program.
//
//     client identifier ──registry──> its user, address, own rules ──> ruling
//                           └── not there: as the program says
//
// Threads  thread-safe; call without a lane or lock.
#pragma once
#include "route/acl_ruling.h"
#include "route/sessions.h"

// A client of that identifier that has a session, connected or away, counts as it is,
// unless the trial says a user name or an address. mounted: the topic is as the broker
// knows it; *mount_len gets how much of it is the client's mount point. Returns NMQ_OK,
// NMQ_ETOPIC, NMQ_EFILTER, NMQ_EACCESS for a topic that is not below the mount point, or
// NMQ_ENOMEM.
int nmq_may(nmq_sessions *sessions, const nmq_acl_trial *trial, bool mounted,
            nmq_acl_ruling *out, size_t *mount_len);
