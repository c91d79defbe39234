// ask.h - what Python is asked about one packet, when access rules have no opinion.
//
//     PUBLISH ──LATER──> add a topic, post ──> parked ──verdicts──> the packet again: known
//
// The packet stays in the buffer of the connection and is handled again from its beginning,
// before which it must not have done anything. What was answered is known then, until the
// packet is handled. Packets behind it wait, so that their order stays [MQTT-4.6.0-1];
// other connections do not. No answer within answer_timeout_ms denies, and so does a
// connection that closes: its packet is not handled again. A question has at most 64
// topics: a packet with more is asked about several times, within that one time.
//
// Owner    the connection, from the first topic until its packet is handled.
// Threads  the receive side, where nothing else is said.
#pragma once
#include "route/acl_act.h"
#include "route/acl_rules.h"
#include "serve/question.h"
#include "serve/server_conn.h"

// What was answered for that topic of the packet, its first being number 0: LATER, if it
// was not asked about yet.
enum nmq_access nmq_ask_known(const nmq_server_conn *conn, uint32_t topic);

// Until when the answer counts for other packets, too; 0: only for this one.
int64_t nmq_ask_counts_until(const nmq_server_conn *conn);

// Adds a topic that is LATER to the question, if there is room. Returns NMQ_OK or
// NMQ_ENOMEM.
int nmq_ask_add(nmq_server_conn *conn, uint32_t number, nmq_bytes topic);

// Asks. Returns what to do: the answer may have come already.
enum nmq_next nmq_ask_post(nmq_server_conn *conn, uint16_t act);

// Asks about the only topic of a packet.
enum nmq_next nmq_ask_one(nmq_server_conn *conn, uint16_t act, nmq_bytes topic);

void nmq_ask_free(nmq_server_conn *conn); // there may be none

// The Reason Code in place of an answer; 0: there was one.
uint8_t nmq_ask_code(const nmq_server_conn *conn);

// Answers the question. Returns NMQ_OK, or NMQ_ENOENT when it does not wait any more. Any
// thread.
int nmq_ask_answer(nmq_conns *conns, const nmq_verdicts *verdicts);

// Nobody answers: what was asked about is denied. Returns false if nothing was. Any thread
// that has a reference.
bool nmq_ask_unanswered(nmq_server_conn *conn, uint8_t reason_code);

// The packet is handled, and does not come again: forgets what was answered. Inline: called
// for each PUBLISH.
static inline void
nmq_ask_end(nmq_server_conn *conn)
{
    if (conn->ask != NULL) {
        nmq_ask_free(conn);
    }
}
