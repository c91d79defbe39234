// end.h - for targets that run a whole broker: a transport and a clock without threads.
//
//     end ──say──> [waits] ──pump──> broker ──> [heard], checked packet by packet
//
// The broker calls back into nothing: what it is sent lies with the end until fuzz_pump,
// and all that happens, happens in the order of the input.
//
// Owner    fuzz_open makes an end; it frees itself when the broker has freed its stream and
//          fuzz_collect comes by.
// Threads  one.
#pragma once
#include "broker.h"

enum fuzz_kind {
    FUZZ_PLAIN,   // MQTT
    FUZZ_WS,      // upgraded by the harness; what is said goes out in masked frames
    FUZZ_WS_RAW,  // WebSocket, all of it from the input
    FUZZ_PROXIED, // a PROXY header comes first, from the input
    FUZZ_KINDS,
};

enum { FUZZ_ENDS = 4 };

// Moves time on and fires what falls due.
void fuzz_pass_time(int64_t wait_ms);

// Runs the job that was posted first. Returns whether there was one.
bool fuzz_run_job(void);

// Makes a broker with one listener for each kind, and none of the ends. Returns NULL when
// memory is out.
nmq_broker *fuzz_broker_new(const nmq_options *options);

// Ends every connection, answers what is asked, passes time until all have ended, and frees
// the broker. Asserts that nothing is left.
void fuzz_broker_free(nmq_broker *broker);

// The end of that number, 0 to FUZZ_ENDS - 1, whose kind is the number; a new connection if
// it has none. Returns false when the broker takes none.
bool fuzz_open(unsigned end);

// What the end sends when the broker reads next; of nothing once it has none.
void fuzz_say(unsigned end, nmq_bytes bytes);

// Its peer is gone, as far as the broker hears when it reads or sends.
void fuzz_drop(unsigned end);

// How much the end takes from one pump to the next.
void fuzz_set_room(unsigned end, size_t room);

// Delivers what waits, both ways, until nothing moves.
void fuzz_pump(void);

// Answers each question that was put to Python with that Reason Code; what a client may do
// with a verdict made of it.
void fuzz_answer(nmq_broker *broker, uint8_t reason_code);
