// rate.h - messages and bytes a second of one client.
//
// A token bucket that holds one second's worth. A client that is over its rate is not read
// until it has paid: TCP slows it down.
//
// Threads  the receive side, where nothing else is said.
#pragma once
#include "base/live.h"
#include "net/conn.h"

// Which rates of a connection are its own, a bit for each; and that they are new.
enum nmq_own_rate { NMQ_OWN_MESSAGE_RATE = 1, NMQ_OWN_BYTE_RATE = 2, NMQ_OWN_NEW = 4 };

// Rates in place of the options': messages and bytes a second, 0: no bound.
typedef struct {
    uint8_t own; // enum nmq_own_rate: the others are the options' again
    uint32_t messages;
    uint32_t bytes;
} nmq_own_rates;

// Gives the connection these rates from now on: it owes nothing, and has a second's worth.
// One that waits looks again within a second. Any thread.
void nmq_rate_set(nmq_conn *conn, const nmq_own_rates *rates);

// Whether the connection has a rate. Those that are dialled have none. Inline: asked for
// each packet.
static inline bool
nmq_rate_is_on(const nmq_conn *conn)
{
    const nmq_options *options = conn->conns->options;

    return (NMQ_LIVE(options->message_rate) | NMQ_LIVE(options->byte_rate) |
            NMQ_LIVE(conn->own_rates)) != 0 &&
           !conn->conns->role->dials;
}

// Whether the client may go on after that packet; else nmq_rate_wait stops reading until it
// may, unless that is so by now. Returns whether the caller calls nmq_park_rest.
bool nmq_rate_pay(nmq_conn *conn, size_t bytes, bool message, int64_t now_ms);
bool nmq_rate_wait(nmq_conn *conn, int64_t now_ms);

// It has waited for so long: it goes on, or waits on. Clock.
void nmq_rate_look(nmq_conn *conn, int64_t now_ms);
