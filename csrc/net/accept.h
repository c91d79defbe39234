// accept.h - from an acceptor's stream to a connection.
//
// Owner    the connection owns its stream, and frees it.
// Threads  the acceptor's.
#pragma once
#include "net/conns.h"

// Whose streams those of that listener are: what an acceptor is given.
nmq_accept nmq_accept_for(nmq_listener *listener);
