// held.h - what a link keeps back until the journal is durable: replies to its client,
// everything (CONNACK is first), and the word that packets of its session may go.
//
//     reply ──put──> [PUBACK 7][SUBACK 7][PUBACK 9] ──durable 7──> outbox: PUBACK SUBACK
//
// A reply that comes when others are held goes behind them: acknowledgements leave in the
// order of what they acknowledge [MQTT-4.6.0-2] [MQTT-4.6.0-3]. What is held is lost with
// its connection: nobody was told.
//
// Owner    the link; few links ever need one, and those keep it. While something waits the
//          journal has a reference to the link.
// Threads  the link's lock, where nothing else is said.
#pragma once
#include "route/batch.h"
#include "store/journal.h"

typedef struct nmq_held {
    nmq_journal_wait wait; // first
    nmq_link *link;
    nmq_journal *journal;
    nmq_buf replies; // each: its number in 8 bytes, its length in 4, its bytes
    size_t head;     // up to here they have gone
    uint64_t last;   // number of the last one
    uint64_t opens;  // the link is shut until that is durable; 0: it is open
    uint64_t pumps;  // its session may send more then; 0: not
    uint64_t parks;  // its connection reads on then; 0: not
    bool waits;      // it has a reference to the link
} nmq_held;

// The link's, which is made if there is none; NULL when memory is out.
nmq_held *nmq_held_of(nmq_link *link, nmq_journal *journal);
void nmq_held_free(nmq_link *link);

// Bytes of replies that are held, with what they take besides.
size_t nmq_held_size(const nmq_link *link);

// Appends a reply that waits for that number, and for those before it. nmq_held_look has to
// follow once the batch is over. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_held_put(nmq_link *link, nmq_journal *journal, uint64_t number, nmq_bytes reply);

// Each begins to wait, and returns whether it does: not for what is durable already. Then
// the link is open, its session may send, or its connection reads on.
bool nmq_held_open_at(nmq_held *held, uint64_t number);
bool nmq_held_pump_at(nmq_held *held, uint64_t number);
bool nmq_held_park(nmq_held *held, uint64_t number);

// Lets go what is durable, and waits for the rest. Returns NMQ_OK, or NMQ_ENOMEM: the link
// is to be closed.
int nmq_held_look(nmq_held *held);

// The link is closed for good: what it holds is lost. Takes the lock.
void nmq_held_end(nmq_link *link);

// What it waits for cannot be made safe: what it holds is lost, and its connection ends
// with that Reason Code. for_good: nothing will ever be safe; else a link that only waits
// for packets of its session waits on. Takes the lock.
void nmq_held_expel(nmq_journal_wait *wait, uint8_t reason_code, bool for_good);

// It has waited long enough: as nmq_held_look; what goes is flushed with the batch, and a
// connection that was parked reads on. Takes the lock.
void nmq_held_wake(nmq_journal_wait *wait, nmq_batch *batch);
