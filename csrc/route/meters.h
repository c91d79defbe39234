// meters.h - topics whose messages are counted, because a program asked for it.
//
// The tree finds the meter of a topic when it looks the topic up (topic_tree.h), and fanout
// counts.
//
// Threads  thread-safe; call without a lane or lock. They take all lanes.
// Cost     one test a message. While there is a meter, a topic that the tree must look up
//          is looked up here too.
#pragma once
#include "route/router.h"

enum { NMQ_METERS_MAX = 512 }; // topics

// Counts the messages of that Topic Name from now on. *out gets a reference of the
// caller's. Returns NMQ_OK, NMQ_ETOPIC, NMQ_EINVAL for one that is counted, NMQ_ETOOBIG for
// one more than NMQ_METERS_MAX, or NMQ_ENOMEM.
int nmq_meters_open(nmq_router *router, nmq_bytes topic_name, nmq_meter **out);

// Returns NMQ_OK or NMQ_ENOENT.
int nmq_meters_close(nmq_router *router, nmq_bytes topic_name);

// When nothing is routed any more.
void nmq_meters_fini(nmq_router *router);
