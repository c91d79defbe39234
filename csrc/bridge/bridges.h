// bridges.h - bridges: kept sessions whose other end is another broker. cffi reads this
// file: no macros here.
//
//     put ──> a kept session, fed by its forwards ──dial──> up ──> PUBLISH, mapped, to the
//             other broker
//                                                      └──> SUBSCRIBE there ──> PUBLISH
//                                                      from there, mapped, routed here
//
// What is to cross waits in the session, within its bounds, while the bridge is not up: in
// memory, or on the journal as that of any kept session. It is sent in order, from the
// first that was not acknowledged; at QoS 0 only while the bridge is up.
//
// Topics: a forward takes the text `local` off the front of the topic and puts `remote`
// there. Where several forwards match a message, it goes out once, at the highest of their
// QoS, as the first of them in the order of the options says. A subscription takes `remote`
// off and puts `local` there; the first that matches counts.
//
// If the other broker has lost the session (Session Present 0), what it did not acknowledge
// is published there as new. A message at QoS 2 for which PUBREC came is not: PUBREC says
// that the other broker has it (4.3.3), and to send it again could double it.
//
// Python says when to dial, and hears of what became of it: nmq_bridges_fd.
//
// Owner    the broker's; ended by nmq_broker_shutdown.
// Threads  thread-safe; each call may wait for the dial that it ends.
// Source   MQTT 5.0, 3.8.3.1 No Local, 4.3, 4.4, 4.9
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "bridge/options.h" // cffi reads them too
#include "io/tls.h"

// Makes the bridge of that name, or changes it where it is: what waits stays, but what no
// forward wants any more goes as the first one says, or is dropped if there is none. What
// CONNECT says holds from the next dial on, the rest at once. *number identifies it until
// it is ended. Returns NMQ_OK; NMQ_EINVAL for an option out of its range, NMQ_EFILTER or
// NMQ_ETOPIC; NMQ_ENOMEM, NMQ_EFILES, or what nmq_subscriptions_put returns, and then some
// of it may be in force.
int nmq_bridges_put(nmq_bridges *bridges, const nmq_bridge_options *options,
                    uint64_t *number);

// Connects it, with what was tried before given up. host, port, tls, path and timeout_ms:
// as of nmq_dial_options; timeout_ms counts for CONNACK anew. Returns NMQ_OK, NMQ_ENOENT,
// NMQ_EINVAL, NMQ_ECLOSED or NMQ_ENOMEM.
int nmq_bridges_dial(nmq_bridges *bridges, uint64_t number, const char *host, uint16_t port,
                     const nmq_tls *tls, const char *path, uint32_t timeout_ms);

// Ends its connection or dial; it keeps what comes. Returns NMQ_OK or NMQ_ENOENT.
int nmq_bridges_hang_up(nmq_bridges *bridges, uint64_t number);

// Ends the bridge of that name, and forgets what waits; one that was restored and never put
// too. Returns NMQ_OK or NMQ_ENOENT.
int nmq_bridges_end(nmq_bridges *bridges, const char *name, size_t name_len);

// Ends those that were restored and never put. Returns how many.
int nmq_bridges_end_orphans(nmq_bridges *bridges);

// Returns NMQ_OK or NMQ_ENOENT.
int nmq_bridges_stats(nmq_bridges *bridges, uint64_t number, nmq_bridge_stats *out);

// Readable when there is news since nmq_bridges_next returned 0: read 8 bytes from it
// first, and do not close it. -1: no bridge was put yet.
int nmq_bridges_fd(nmq_bridges *bridges);

// Takes what is new of one bridge. Returns 1, or 0: there is nothing.
int nmq_bridges_next(nmq_bridges *bridges, nmq_bridge_news *out);
