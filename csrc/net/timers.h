// timers.h - the timers of a connection: silence, sending again, its end, and the wait of
// others for it.
//
// Threads  any; the timers fire on the clock.
#pragma once
#include "net/conn.h"

// From the next packet on, the role is told of a silence of idle_ms; 0: of none.
void nmq_timers_set_idle(nmq_conn *conn, int64_t idle_ms);

void nmq_timers_fire(nmq_timer *timer);                   // of conn.timer
void nmq_timers_fire_slow(nmq_timer *timer);              // nmq_link_ops.look
void nmq_timers_arm_slow(nmq_link *link, int64_t due_ms); // nmq_link_ops.arm

// The options have changed: timers that depend on them are looked at again.
void nmq_timers_look_again(nmq_conns *conns);
