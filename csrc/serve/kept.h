// kept.h - what was answered about topics that a client publishes to, and still counts.
//
//     PUBLISH ──> kept? ──no──> asked (ask.h) ──ALLOW until 12:00──> kept
//                  └──yes──> goes on, and nobody is asked
//
// At most 32 topics of 256 bytes; a further one takes the place of the oldest.
//
// Owner    the connection; there is nothing until an answer is to be kept.
// Threads  the receive side.
// Cost     a comparison for each topic that is kept.
#pragma once
#include "route/acl_rules.h"
#include "serve/server_conn.h"

// Returns the answer about the topic, or LATER: there is none that counts now.
enum nmq_access nmq_kept_get(const nmq_server_conn *conn, nmq_bytes topic);

// Keeps an answer until that moment; where memory is out it is not kept.
void nmq_kept_put(nmq_server_conn *conn, nmq_bytes topic, enum nmq_access said,
                  int64_t until_ms);

// Forgets all of them, as when other rules are in force.
void nmq_kept_free(nmq_server_conn *conn);
