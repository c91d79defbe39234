// auth.h - questions to Python about who a client is, and AUTH (MQTT 5.0, 3.15 and 4.12).
//
//     CONNECT ──> deciding ──0──────────────────────────────────> open
//                    │  ^                                         │  ^
//               0x18 v  │ AUTH 0x18            AUTH 0x19 or 0x18  v  │ 0 or 0x18
//                 authenticating                            open, deciding
//
// While the answer is awaited nothing is read, answer_timeout_ms at most.
#pragma once
#include "serve/question.h"
#include "serve/server_conn.h"

// Answers the question that a connection asked. NMQ_OK or NMQ_ENOENT. Any thread.
int nmq_auth_answer(nmq_conns *conns, const nmq_answer *answer);

// Of the role (net/role.h).
enum nmq_next nmq_auth_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_auth_handle_answer(nmq_conn *net, nmq_batch *batch);
