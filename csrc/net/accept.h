// accept.h - from an acceptor's stream to a connection.
//
// Owner    the connection owns its stream, and frees it.
// Threads  the acceptor's.
#pragma once
#include "net/conns.h"

// What an acceptor is given: its streams become connections of that listener.
nmq_accept nmq_accept_for(nmq_listener *listener);
