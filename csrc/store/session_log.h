// session_log.h - what a kept session tells the journal of its messages, and the packets at
// QoS 2 that wait for it.
//
//     taken ──DELIVERY──> queue ──LAUNCHED──> in flight ──(RECEIVED,) DONE──> over
//                                    └── QoS 2: PUBLISH goes out when that is durable
//
// A session that is told again (route/durable_whole.h) gets another number, under which it
// is logged from there on. Its queue is carried forward meanwhile:
//
//     [carried | not yet: DELIVERY is before the beginning | came since]
//
// What is launched before it was carried is told as a whole, with CARRIED.
//
// A receiver keeps the packet identifier of a message at QoS 2. If the broker forgot which
// message that was, and gave the identifier to another one, the receiver would take that
// for the first; and if it forgot PUBREC, it would send PUBLISH again [MQTT-4.3.3-6]. So
// PUBLISH and PUBREL at QoS 2 go out when the record before them is durable. What is
// acknowledged otherwise may be forgotten: it is sent again with DUP.
//
// Of a message that the journal leaves out only that is logged: its packet identifier at
// QoS 2, as if PUBREC had come. Who comes back after a crash is sent PUBREL then, and the
// identifier means a new message from there on.
//
// Each verb does nothing for a session whose log has ended, and is called where
// session->log is not NULL.
//
// Owner    the session owns its log.
// Threads  none of its own: the client's lock.
#pragma once
#include "store/journal.h"
#include "store/outbox.h"
#include "store/session_state.h"

// A packet that waits: PUBLISH or PUBREL, by the state in flight.
typedef struct {
    uint64_t number;
    uint16_t packet_id;
} nmq_unsent;

typedef struct nmq_session_log {
    nmq_journal *journal;
    uint64_t session; // its number; 0: it has none yet, and nothing is logged
    uint64_t latest;  // of the last record that somebody may wait for
    nmq_unsent *unsent;
    uint32_t first; // of them; a ring
    uint32_t count;
    uint32_t cap;    // 0 or a power of two
    uint32_t behind; // deliveries of the queue that are logged, and were not carried
    uint8_t round;   // how often it was told again; the last two bits
    bool is_told;    // in that round, up to the end of its queue
    bool ended;      // atomic
} nmq_session_log;

// Gives the session a log, which begins with its first record (route/durable.h). Returns
// NMQ_OK or NMQ_ENOMEM.
int nmq_session_log_begin(nmq_session *session, nmq_journal *journal);

// Nothing is logged of it any more. Thread-safe.
void nmq_session_log_end(nmq_session_log *log);
void nmq_session_log_free(nmq_session_log *log); // takes NULL

// Whether it is one of which something is logged.
bool nmq_session_is_logged(const nmq_session *session);

// The phase of what was carried forward since the session was told again last, and of what
// has come since; what has another one is not carried yet.
static inline uint32_t
nmq_session_log_carried(const nmq_session_log *log)
{
    return (log->round & 3u) * 2;
}
static inline uint32_t
nmq_session_log_came(const nmq_session_log *log)
{
    return (log->round & 3u) * 2 + 1;
}
static inline bool
nmq_session_log_is_behind(const nmq_session_log *log, const nmq_delivery *delivery)
{
    return delivery->phase >> 1 != (log->round & 3u);
}

// A delivery has come into the queue, of which it is the last; QoS 0 is not logged.
void nmq_session_log_queued(nmq_session *session, const nmq_delivery *delivery);

// Sends what has just been taken in flight: at QoS 1 at once, at QoS 2 when that is
// durable. delivery: of which it was made, perhaps the first of the queue. Returns as
// nmq_session_write_entry; then nothing was logged.
int nmq_session_log_launch(nmq_session *session, nmq_outbox *outbox,
                           const nmq_inflight_entry *entry, const nmq_delivery *delivery,
                           int64_t now_ms);

// A delivery of the queue has gone, unsent. Call it while the message is there.
void nmq_session_log_dropped(nmq_session *session, const nmq_delivery *delivery);

// PUBREC has come for an entry in flight, which lets go of its message. PUBREL goes out
// when that is durable. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_session_log_receive(nmq_session *session, nmq_outbox *outbox,
                            nmq_inflight_entry *entry);

// An entry in flight is over. Call it while its message is there.
void nmq_session_log_done(nmq_session *session, const nmq_inflight_entry *entry);

// A packet identifier of the client, at QoS 2, is in use.
void nmq_session_log_unreleased(nmq_session *session, uint16_t packet_id);

// It is free from here on. Returns whether it was in use.
bool nmq_session_log_release(nmq_session *session, uint16_t packet_id);

// --- packets that wait

// Sends those that wait no longer. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_session_log_pump(nmq_session *session, nmq_outbox *outbox, int64_t now_ms);

// The number that the first of them waits for; 0: there is none.
uint64_t nmq_session_log_awaits(const nmq_session *session);

// A new connection: what waits is in flight, and is sent again with the rest of that.
void nmq_session_log_forget_unsent(nmq_session *session);

// --- for sessions of both kinds

// Ends an entry in flight that cannot be sent, or not any more: how is what
// nmq_session_write_entry has returned. Returns NMQ_OK, or `how` for another fault.
int nmq_session_give_up_unsendable(nmq_session *session, nmq_inflight_entry *entry,
                                   int how);

// Ends an entry in flight, and logs it.
static inline void
nmq_session_end_entry(nmq_session *session, nmq_inflight_entry *entry)
{
    if (session->log != NULL) {
        nmq_session_log_done(session, entry);
    }
    nmq_inflight_give(&session->inflight, entry);
}
