#include "route/handover_restore.h"

#include <string.h>

#include "base/status.h"
#include "route/durable.h"
#include "route/will.h"

static int
take_all(nmq_handover_reader *r, nmq_bytes in)
{
    nmq_journal_record record;
    int rv = nmq_journal_get(&in, &record);

    if (rv == NMQ_OK) {
        rv = record.kind == NMQ_JOURNAL_BEGIN ? nmq_handover_read(r, &record)
                                              : NMQ_EMALFORMED;
    }
    while (rv == NMQ_OK) {
        rv = nmq_journal_get(&in, &record);
        if (rv == NMQ_OK && record.kind == NMQ_JOURNAL_END) {
            return record.end.sessions == r->clients.base + r->clients.count
                       ? NMQ_OK
                       : NMQ_EMALFORMED;
        }
        rv = rv == NMQ_OK ? nmq_handover_read(r, &record) : rv;
    }
    return rv;
}

// A client that was connected when the records ended is away from now on. Returns whether
// it was.
static bool
leave(const nmq_handover_reader *r, nmq_client *client)
{
    int64_t now_ms = r->objects.now.clock_ms;
    bool expires = client->expiry_due_ms == 0 && client->expiry_interval_s != UINT32_MAX;
    bool has_will = client->will.message != NULL && client->will_due_ms == 0;

    if (expires) {
        client->expiry_due_ms = now_ms + (int64_t) client->expiry_interval_s * 1000;
    }
    if (has_will) {
        client->will_due_ms = now_ms + (int64_t) client->will.delay_s * 1000;
    }
    return expires || has_will;
}

// Has its session logged on, where the journal that it comes from goes on.
static int
go_on(const nmq_handover_reader *r, nmq_client *client, uint32_t place)
{
    uint64_t session = r->clients.base + place + 1;

    return r->objects.keeps_numbers
               ? nmq_durable_go_on(r->sessions->router, client, session)
               : NMQ_OK;
}

// Returns NMQ_OK, or NMQ_EINVAL or NMQ_ENOMEM with the client still the caller's.
static int
let_one_in(nmq_handover_reader *r, uint32_t place)
{
    nmq_client *client = r->clients.at[place];
    uint32_t taken;
    int rv = go_on(r, client, place);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (!client->consumes) {
        if (leave(r, client) && client->session->log != NULL) {
            nmq_durable_detached(client);
        }
        return nmq_sessions_restore(r->sessions, client);
    }
    memcpy(&taken, r->taken.at + place * sizeof taken, sizeof taken);
    return nmq_consumers_restore(r->consumers, client, taken);
}

// It does not come in.
static void
end_client(nmq_handover_reader *r, nmq_client *client)
{
    if (client->session->log != NULL) {
        nmq_durable_ended(client);
    }
    nmq_will_drop(client); // it must not go out
    nmq_sessions_end(r->sessions, client);
}

// A will must not go out before all who may get it are logged on.
static void
start_timers(const nmq_handover_reader *r)
{
    for (uint32_t i = 0; i < r->clients.count; i++) {
        nmq_client *client = r->clients.at[i];
        if (client != NULL && !client->consumes) {
            nmq_sessions_start_timer(r->sessions, client);
        }
    }
}

// Lets the clients in. After a fault the last of them is not whole, and ends. Returns how
// many came in, or the first fault.
static int
let_in(nmq_handover_reader *r, int fault)
{
    bool last_is_cut = fault != NMQ_OK;
    int restored = 0;

    for (uint32_t i = 0; i < r->clients.count; i++) {
        nmq_client *client = r->clients.at[i];
        if (client == NULL) { // its session has ended
            continue;
        }
        bool is_whole = !last_is_cut || i + 1 < r->clients.count;
        int rv = is_whole ? let_one_in(r, i) : fault;
        if (rv != NMQ_OK) {
            end_client(r, client);
            r->clients.at[i] = NULL;
            fault = fault == NMQ_OK ? rv : fault;
        }
        restored += rv == NMQ_OK;
    }
    start_timers(r);
    return fault != NMQ_OK ? fault : restored;
}

static nmq_handover_reader
begin(nmq_sessions *sessions, nmq_consumers *consumers)
{
    return (nmq_handover_reader){
        .sessions = sessions, .consumers = consumers, .objects.now = nmq_moment_now()};
}

int
nmq_handover_restore(nmq_sessions *sessions, nmq_consumers *consumers, nmq_bytes in)
{
    nmq_handover_reader r = begin(sessions, consumers);
    int rv = let_in(&r, take_all(&r, in));

    nmq_handover_reader_fini(&r);
    return rv;
}

// --- a log that goes on

void
nmq_handover_log_begin(nmq_handover_reader *reader, nmq_sessions *sessions,
                       nmq_consumers *consumers)
{
    *reader = begin(sessions, consumers);
    reader->objects.keeps_numbers = true;
}

int
nmq_handover_log_take(nmq_handover_reader *reader, nmq_bytes records)
{
    nmq_journal_record record;
    int rv = NMQ_OK;

    while (records.len > 0 && rv == NMQ_OK) {
        rv = nmq_journal_get(&records, &record);
        if (rv == NMQ_OK && !reader->begun && record.kind != NMQ_JOURNAL_BEGIN) {
            rv = NMQ_EMALFORMED;
        }
        rv = rv == NMQ_OK ? nmq_handover_read(reader, &record) : rv;
    }
    return rv;
}

int
nmq_handover_log_end(nmq_handover_reader *reader, nmq_journal *journal)
{
    nmq_journal_go_on(journal, nmq_numbered_next(&reader->objects.messages) - 1,
                      nmq_numbered_next(&reader->objects.origins) - 1,
                      nmq_numbered_next(&reader->clients) - 1);
    nmq_durable_begin(reader->sessions->router, journal);
    int rv = let_in(reader, NMQ_OK);
    nmq_handover_reader_fini(reader);
    return rv;
}

void
nmq_handover_log_cancel(nmq_handover_reader *reader)
{
    for (uint32_t i = 0; i < reader->clients.count; i++) {
        if (reader->clients.at[i] != NULL) {
            end_client(reader, reader->clients.at[i]);
        }
    }
    nmq_handover_reader_fini(reader);
}
