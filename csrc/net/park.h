// park.h - the receive side of a connection rests, and how it goes on.
//
//     others have their turn     a job is posted
//     its answers are to go      until half of them have gone, or it takes nothing for long
//     the role asks somebody     until nmq_park_answered (role.h)
//     a subscriber is slow       route/link.h
//     memory is short            memory.h
//     it is over its rate        rate.h
//
// Whoever ends a wait does not work on the connection: it posts a job, and one of the
// threads that read sockets goes on. So no timer and no thread of Python handles packets.
//
// Threads  each function says who may call it; without a lock.
#pragma once
#include "net/conn.h"

// What a job goes on with; bits.
enum nmq_job_kind {
    NMQ_JOB_PACKETS = 1, // those that have come and were not handled yet
    NMQ_JOB_SEND = 2,    // what its session has for it
    NMQ_JOB_END = 4,     // nothing: the peer is lost
};

// Has a thread go on with it, after what else waits.
void nmq_park_post_job(nmq_conn *conn, enum nmq_job_kind what);

// The same for the receive side: it has been parked, or rests so that others have their
// turn.
void nmq_park_yield(nmq_conn *conn, enum nmq_job_kind what);

// A client that does not read the answers to its own packets is not read either. Whether it
// is to wait until they have gone. Receive side; when it returns true, it may already be
// another thread's.
bool nmq_park_for_answers(nmq_conn *conn, int64_t now_ms);

// Reads on if its answers have gone, or if `always`. Any thread.
void nmq_park_answers_gone(nmq_conn *conn, bool always);

// The timer of link.wait is due: ends a client that takes nothing of them. Returns whether
// to look again. Clock.
bool nmq_park_look(nmq_conn *conn, int64_t now_ms);

// The role has an answer. Returns whether the connection still waits for one: then the
// caller is its receive side, and calls nmq_recv_answered. Any thread.
bool nmq_park_answered(nmq_conn *conn);
void nmq_park_for_answer(nmq_conn *conn); // before the role asks; receive side
