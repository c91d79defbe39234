// session_records.h - a session with all it holds as a run of records, for the journal and
// for the next process alike.
//
// Owner    a record borrows the texts of its object.
// Threads  the client's lock, and the lanes frozen.
#pragma once
#include "route/client.h"
#include "route/router.h"
#include "store/object_record.h"

// Where records go. What cannot be written is noted in rv, and nothing more is.
typedef struct nmq_record_sink {
    void (*put)(struct nmq_record_sink *sink, const nmq_journal_record *record);
    // The number of the message, which is put the first time; or NMQ_JOURNAL_LEFT_OUT: it
    // is not, and nothing that names it.
    uint64_t (*message)(struct nmq_record_sink *sink, nmq_message *message);
    bool logs;       // to a journal: QoS 0 is left out, whose end is not logged
    bool carries;    // deliveries of a queue are CARRIED, not DELIVERY
    uint32_t behind; // how many were not carried yet, then
    uint64_t was;    // see SESSION of journal.def; so is waiting
    uint32_t waiting;
    nmq_moment now;
    nmq_buf ids; // of the delivery that is written; the caller frees it
    int rv;      // the first failure, or NMQ_OK
} nmq_record_sink;

// Session, will, subscriptions, deliveries and what it is owed, under that number. taken:
// of a consumer.
void nmq_record_put_session(nmq_record_sink *sink, nmq_router *router,
                            const nmq_client *client, uint64_t number, uint32_t taken);

// Parts of it, in this order: without deliveries of the queue and what it is owed; those at
// the indices `from` to `to` - 1 of the queue; what it is owed.
void nmq_record_put_base(nmq_record_sink *sink, nmq_router *router,
                         const nmq_client *client, uint64_t number, uint32_t taken);
void nmq_record_put_queue(nmq_record_sink *sink, const nmq_session *session,
                          uint64_t number, uint32_t from, uint32_t to);
void nmq_record_put_owed(nmq_record_sink *sink, nmq_router *router,
                         const nmq_client *client, uint64_t number);

// Session and will alone.
void nmq_record_put_client(nmq_record_sink *sink, const nmq_client *client, uint64_t number,
                           uint32_t taken);

nmq_journal_record nmq_record_of_subscription(nmq_router *router,
                                              const nmq_session_sub *sub, uint64_t number);
