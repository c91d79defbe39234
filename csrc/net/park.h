// park.h - the receive side of a connection waits: for what, until when, and how it goes
// on.
//
//     receive side   begin(slow) begin(rate) ... rest ──> parked, while any reason is left
//     anybody        end(slow) ... end(rate) ──> a job: packets are handled again
//
//     slow       a subscriber of what it publishes is slow             slow.h
//     answers    it does not read the answers to its own packets       slow.h
//     rate       it is over its rate                                   rate.h
//     memory     memory is short, or the room on the disk              memory.h
//     question   its role has asked somebody                           role.h
//     commit     too much of it waits for the journal                  commit.h
//
// A reason that begins holds from then on, so that it may end at any moment, even before
// the receive side rests. A connection with several reasons waits for all of them. Whoever
// ends the last one does not work on the connection: one of the threads that read sockets
// goes on, so no timer and no thread of Python handles packets. A connection that is to
// close waits for nothing.
//
// While a connection is parked nothing is read from it: neither its PINGREQ nor its end.
// That is no silence of the peer [MQTT-3.1.2-22], so its keep alive begins anew when it
// goes on; a peer that is gone is found then.
//
// Threads  each function says who may call it; without a lock.
#pragma once
#include "net/conn.h"

// Why the receive side waits, a bit for each. Who ends it:
enum nmq_park_reason {
    NMQ_PARK_SLOW = 1,      // the subscriber's link, when it has drained or is found stuck
    NMQ_PARK_ANSWERS = 2,   // its own send side, when its answers have gone
    NMQ_PARK_RATE = 4,      // the clock, when it may send again
    NMQ_PARK_MEMORY = 8,    // whoever finds that there is room again, or the clock
    NMQ_PARK_QUESTION = 16, // whoever was asked, with the answer; or the clock, without
    NMQ_PARK_COMMIT =
        32,            // whoever ends the commit that its answers or its packets wait for
    NMQ_PARK_ALL = 63, // for nmq_park_end: it is to close
};

// What the job of a connection does, a bit for each.
enum nmq_job_kind {
    NMQ_JOB_PACKETS = 1, // handles the packets that have come and were not handled yet
    NMQ_JOB_SEND = 2,    // sends what its session has for it
};

// Posts its job, or adds to what the posted one does: one of the threads that read sockets
// runs it once, after the sockets and jobs that wait already. Any thread.
void nmq_park_post_job(nmq_conn *conn, enum nmq_job_kind what);

// Leaves the packets that have come to its job: other connections have their turn first.
// When it returns, the connection may be another thread's. Receive side.
void nmq_park_yield(nmq_conn *conn);

// The connection is to wait for that; the caller sees to it that somebody ends it. due_ms:
// when the clock is to look at it (timers.h); 0: never. No two reasons with a time are
// there at once. Receive side, which calls nmq_park_rest when its batch is over; or the
// clock, for a reason that has come due.
void nmq_park_begin(nmq_conn *conn, enum nmq_park_reason why, int64_t due_ms);

// Parks the connection, or yields if nothing is left to wait for. When it returns, the
// connection may be another thread's. Receive side.
void nmq_park_rest(nmq_conn *conn);

// It does not wait for that any longer; NMQ_PARK_ALL: after nmq_conn_begin_close. Any
// thread with a reference.
void nmq_park_end(nmq_conn *conn, enum nmq_park_reason why);

// As nmq_park_end; but where that was the last reason and no packet is left to handle, no
// job is posted: it returns true, and the caller has the receive side and reads on.
bool nmq_park_end_here(nmq_conn *conn, enum nmq_park_reason why);

// As nmq_park_end, if it waits for that and `is_over`, called with link.lock, returns true.
// It may also take what was waited for out of `arg`: nobody has the receive side meanwhile.
// Returns whether it was so.
typedef bool nmq_park_fn(nmq_conn *conn, const void *arg);
bool nmq_park_end_if(nmq_conn *conn, enum nmq_park_reason why, nmq_park_fn *is_over,
                     const void *arg);

// Whether it waits for that. Any thread.
static inline bool
nmq_park_is_for(const nmq_conn *conn, enum nmq_park_reason why)
{
    return (__atomic_load_n(&conn->parked_for, __ATOMIC_RELAXED) & why) != 0;
}

// For which reasons it waits (0: none), and when the one with a time is to be looked at (0:
// none). Any thread.
unsigned nmq_park_reasons(nmq_conn *conn, int64_t *due_ms);
