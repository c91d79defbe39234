// link.h - one Network Connection as the router sees it: an outbox, and who waits for it.
//
//     publisher ──held──> link over its bound ──drained──> publisher reads on
//                              └── hold time over: stuck; it loses QoS 0, nobody waits
//
// Publishers wait for a link that is slow, not for one that stands still. For a moment,
// what goes over the bound is only gathered, up to a limit. A link whose peer takes nothing
// in that time is stuck before anyone has waited for it. Where the peer takes something,
// publishers wait as soon as the link is far over its bound: what gathers must drain within
// the hold time.
//
// What a session keeps (QoS 1 and 2) is its right up to the session's own bound, however
// slowly it is read. Publishers wait for it only while that helps: while what waits goes
// out fast enough to be gone within the hold time.
//
// Owner    counted; whoever holds a pointer past a call holds a reference.
// Threads  the link's lock guards what is marked; ops are called without any lock.
#pragma once
#include <pthread.h>

#include "base/wheel.h"
#include "base/worker.h"
#include "store/outbox.h"

typedef struct nmq_link nmq_link;

// What the network layer does for the router.
typedef struct {
    void (*flush)(nmq_link *link);     // it has left the list: clear flush_due, then send
    void (*resume)(nmq_link *link);    // a held link reads on
    void (*committed)(nmq_link *link); // one that waits for the journal reads on
    void (*disconnect)(nmq_link *link, uint8_t reason_code); // tell the peer, then close
    void (*look)(nmq_timer *timer);                          // of nmq_link_wait: it is due
    void (*arm)(nmq_link *link, int64_t due_ms); // that timer; the link has a wait
    void (*free)(nmq_link *link);                // the last reference is gone
} nmq_link_ops;

// The wait of others for a link, or of a link for itself. Few links ever need one; those
// keep it.
typedef struct {
    nmq_timer timer; // first; clock: looks at the hold, and ends it
    nmq_link *link;  // whose it is
    nmq_link *held;  // link's lock: links that wait for this one, a reference each
    int64_t held_ms; // link's lock: since when
    uint64_t sent;   // atomic: bytes that the peer has taken since then
    int64_t self_ms; // link's lock: since when it waits for itself
} nmq_link_wait;

struct nmq_link {
    const nmq_link_ops *ops;
    uint32_t refs; // atomic
    pthread_mutex_t lock;
    nmq_outbox outbox;        // lock
    size_t sending_bytes;     // lock: with the transport, not yet taken
    size_t sending_unkept;    // lock: outbox.unkept of the load that is with the transport
    uint32_t sending_answers; // lock: outbox.answers of that load
    uint32_t load;            // lock: of its session; see nmq_session_load
    uint64_t held_bytes;      // lock: of its session, that wait or are in flight
    // set before others see it: how long publishers wait while it takes nothing, however
    // far it has to catch up; 0: as the options say
    uint32_t patience_ms;
    bool flush_due;          // lock: some thread is going to flush it
    bool closed;             // lock: nothing more is written
    bool stuck;              // lock: found too slow; nobody waits until it has drained
    bool at_limit;           // lock: its session's queue can gather no more
    bool pump_due;           // lock: its session has more to send, given room
    bool shut;               // lock: nothing is sent until CONNACK is durable; held.h
    nmq_unflushed unflushed; // whoever set flush_due
    nmq_link *next_held;     // the lock of the link that it waits for
    nmq_link_wait *wait;     // atomic, made with the lock; NULL: nobody waited yet
    struct nmq_held *held;   // atomic, made with the lock; NULL: nothing was held yet
    int64_t moved_ms;        // atomic: when the peer took or acknowledged something last
    int64_t over_ms;         // lock: since when it is over its bound, 0: it is not
};

// When publishers wait for a link, and for how long.
typedef struct {
    size_t max_bytes; // that wait for the peer
    uint32_t hold_ms; // the longest wait; a quarter of it for a peer that takes nothing
    int64_t now_ms;
} nmq_patience;

enum nmq_pace {
    NMQ_PACE_FINE,
    NMQ_PACE_SLOW,  // publishers are to wait
    NMQ_PACE_STUCK, // it has just been found to be: nobody waits
};

void nmq_link_init(nmq_link *link, const nmq_link_ops *ops); // with one reference
void nmq_link_fini(nmq_link *link);
nmq_link *nmq_link_ref(nmq_link *link);
void nmq_link_unref(nmq_link *link); // takes NULL

// Bytes that wait for the peer; those of them that no session keeps; those that answer
// packets of the peer itself. The last two may count some that have just gone. Call with
// the lock.
size_t nmq_link_backlog(const nmq_link *link);
size_t nmq_link_unkept(const nmq_link *link);
size_t nmq_link_answers(const nmq_link *link);

// Looks at a link after something was put into it. Call with the lock.
enum nmq_pace nmq_link_judge(nmq_link *link, const nmq_patience *patience);

// Notes that the peer has taken that many bytes, or acknowledged something. nmq_link_moves:
// whether it did so a moment ago.
void nmq_link_moved(nmq_link *link, size_t bytes, int64_t now_ms);
bool nmq_link_moves(const nmq_link *link, int64_t now_ms);

enum {
    NMQ_LINK_LOOK_MS = 50, // how often its timer looks
    NMQ_LINK_FAR = 2,      // times its bound: far over it
};

// How long the peer has taken nothing, counted from `from_ms` at the earliest.
int64_t nmq_link_still_ms(const nmq_link *link, int64_t from_ms, int64_t now_ms);

// Returns the link's note of who waits, which is made if there is none; NULL when memory is
// out. Call with the lock.
nmq_link_wait *nmq_link_waits(nmq_link *link);

// Makes `reader` wait for `link`, if it is slow still. Returns whether it waits; *first
// tells that it is the first, and the caller has link->ops arm the timer. Takes the lock.
bool nmq_link_hold(nmq_link *link, nmq_link *reader, const nmq_patience *patience,
                   bool *first);

// The timer is due: whether to look again (SLOW), or to end the hold. Call with the lock.
enum nmq_pace nmq_link_look(nmq_link *link, const nmq_patience *patience);

// Ends the hold if what waits is down to half of what publishers wait for, or if `always`:
// every link that waited reads on. Takes the lock.
void nmq_link_relieve(nmq_link *link, size_t max_bytes, bool always);
