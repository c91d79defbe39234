// intake.h - the way in, between the stream and MQTT: PROXY headers and WebSocket.
//
// Threads  the receive side.
#pragma once
#include "net/conn.h"

// Turns what came in into MQTT: in.at up to plain. Returns NMQ_NEXT_END when nothing can
// follow that.
enum nmq_next nmq_intake_take(nmq_conn *conn, nmq_batch *batch);
