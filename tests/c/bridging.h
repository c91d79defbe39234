// bridging.h - bridges of one broker to another, in threads.
//
// Promise: while messages go both ways, bridges are put, changed, dialled, hung up and
// ended at any moment, and nothing leaks, races or hangs; a bridge that stays up passes
// each message at QoS 2 once.
#pragma once

void bridging_run(void);
