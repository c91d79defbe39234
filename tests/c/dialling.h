// dialling.h - clients of one broker that dial another, in threads.
//
// Promise: what each publishes at any QoS comes back to it whole and once, over TCP,
// WebSocket and Unix sockets; dials are cancelled and fail at any moment, and nothing
// leaks, races or hangs.
#pragma once

void dialling_run(void);
