// timers.h - the timer of a connection: silence, sending again, what it is parked for, the
// end of its time, and its end.
//
// Threads  any; the timers fire on the clock.
#pragma once
#include "net/conn.h"

// From the next packet on, the role is told of a silence of idle_ms; 0: of none.
void nmq_timers_set_idle(nmq_conn *conn, int64_t idle_ms);

// The same for a connection whose peer is let in, by another thread than its own: the
// silence begins anew.
void nmq_timers_change_idle(nmq_conn *conn, int64_t idle_ms);

// The role is told when that time has come, and when it is past already.
void nmq_timers_end_at(nmq_conn *conn, int64_t due_ms);

void nmq_timers_fire(nmq_timer *timer); // of conn.timer

// The options have changed: timers that depend on them are looked at again.
void nmq_timers_look_again(nmq_conns *conns);
