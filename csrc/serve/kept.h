// kept.h - what was answered about topics that a client publishes to, and still counts.
//
//     PUBLISH ──> kept? ──no──> asked (ask.h) ──ALLOW until 12:00──> kept
//                  └──yes──> goes on, and nobody is asked
//
// At most 32 topics of 256 bytes; a further one takes the place of the oldest.
//
// Owner    the connection; there is nothing until an answer is to be kept.
// Threads  the receive side, where nothing else is said; link.lock guards what is kept.
// Cost     a comparison for each topic that is kept.
#pragma once
#include "route/acl_rules.h"
#include "serve/kept_row.h"
#include "serve/server_conn.h"

// Returns the answer about the topic, or LATER: there is none that counts now.
enum nmq_access nmq_kept_get(nmq_server_conn *conn, nmq_bytes topic);

// Keeps an answer until that moment; where memory is out it is not kept.
void nmq_kept_put(nmq_server_conn *conn, nmq_bytes topic, enum nmq_access said,
                  int64_t until_ms);

// Fills in those that count still, NMQ_KEPT_ROWS at most; returns how many. Any thread.
uint32_t nmq_kept_rows(nmq_server_conn *conn, nmq_kept_row *rows);

// Forgets all of them, as when other rules are in force. Any thread.
void nmq_kept_free(nmq_server_conn *conn);
