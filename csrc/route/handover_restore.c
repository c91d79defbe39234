#include "route/handover_restore.h"

#include "base/status.h"
#include "route/durable.h"
#include "route/will.h"

static int
take_all(nmq_handover_reader *r, nmq_bytes in)
{
    nmq_journal_record record;
    int rv = nmq_handover_count(&r->objects.uses, in);

    while (rv == NMQ_OK) {
        rv = nmq_journal_get(&in, &record);
        if (rv == NMQ_OK && record.kind == NMQ_JOURNAL_END) {
            return r->begun && record.end.sessions == nmq_reader_sessions(&r->clients)
                       ? NMQ_OK
                       : NMQ_EMALFORMED;
        }
        rv = rv == NMQ_OK ? nmq_handover_read(r, &record) : rv;
    }
    return rv;
}

// A client that was connected when the records ended is away from then on. Returns whether
// it was.
static bool
leave(const nmq_handover_reader *r, const nmq_reader_client *one)
{
    nmq_client *client = one->client;
    int64_t over_ms = r->objects.over_ms;
    bool has_will = client->will.message != NULL && client->will_due_ms == 0;

    if (one->connected) {
        client->disconnected_at_ms = over_ms;
    }
    if (one->connected && client->expiry_interval_s != UINT32_MAX) {
        client->expiry_due_ms = nmq_handover_due(
            &r->objects, over_ms + (int64_t) client->expiry_interval_s * 1000);
    }
    if (has_will) { // no DISCONNECT has come [MQTT-3.1.2-8]
        client->will_due_ms =
            nmq_handover_due(&r->objects, over_ms + (int64_t) client->will.delay_s * 1000);
    }
    return one->connected || has_will;
}

// Has its session logged on, where the journal that it comes from goes on.
static int
go_on(const nmq_handover_reader *r, uint32_t place)
{
    nmq_client *client = r->clients.at[place].client;
    uint64_t session = r->clients.base + place + 1;

    return r->objects.keeps_numbers && client != NULL && client->session->log == NULL
               ? nmq_durable_go_on(r->sessions->router, client, session)
               : NMQ_OK;
}

// Returns NMQ_OK, or NMQ_EINVAL or NMQ_ENOMEM with the client still the caller's.
static int
let_one_in(nmq_handover_reader *r, uint32_t place)
{
    const nmq_reader_client *one = &r->clients.at[place];
    int rv = go_on(r, place);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (nmq_client_is_own(one->client)) {
        // A log does not say what was handed out: all that it has may come again.
        return nmq_consumers_restore(r->consumers, one->client,
                                     r->objects.keeps_numbers ? UINT32_MAX : one->taken);
    }
    if (leave(r, one) && one->client->session->log != NULL) {
        nmq_durable_detached(one->client);
    }
    return nmq_sessions_restore(r->sessions, one->client);
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

// Ends those that were not told to their end: what they were is still there.
static int
give_up_again(nmq_handover_reader *r)
{
    int rv = NMQ_OK;

    for (uint32_t i = 0; i < r->clients.count && rv == NMQ_OK; i++) {
        nmq_reader_client *one = &r->clients.at[i];
        uint64_t place = one->was - 1 - r->clients.base;
        if (one->client != NULL && place < r->clients.count &&
            r->clients.at[place].client != NULL) {
            nmq_client *client = one->client;
            rv = go_on(r, i);
            one->client = NULL;
            end_client(r, client);
        }
    }
    return rv;
}

// A will must not go out before all who may get it are logged on.
static void
start_timers(const nmq_handover_reader *r)
{
    for (uint32_t i = 0; i < r->clients.count; i++) {
        nmq_client *client = r->clients.at[i].client;
        if (client != NULL && !nmq_client_is_own(client)) {
            nmq_sessions_start_timer(r->sessions, client);
        }
    }
}

// Lets the clients in, the latest first: where an end is lost, the session before it goes.
// After a fault the last of them is not whole, and ends. Returns how many came in, or the
// first fault.
static int
let_in(nmq_handover_reader *r, int fault)
{
    bool last_is_cut = fault != NMQ_OK;
    int restored = 0;

    fault = fault == NMQ_OK ? give_up_again(r) : fault;
    for (uint32_t i = r->clients.count; i > 0; i--) {
        nmq_client *client = r->clients.at[i - 1].client;
        if (client == NULL) { // its session has ended
            continue;
        }
        bool is_whole = !last_is_cut || i < r->clients.count;
        int rv = is_whole ? let_one_in(r, i - 1) : fault;
        restored += rv == NMQ_OK;
        if (rv == NMQ_OK) {
            continue;
        }
        end_client(r, client);
        r->clients.at[i - 1].client = NULL;
        bool is_lost = rv == NMQ_EINVAL && r->objects.lenient;
        r->passed += is_lost;
        fault = fault == NMQ_OK && !is_lost ? rv : fault;
    }
    start_timers(r);
    return fault != NMQ_OK ? fault : restored;
}

static void
begin(nmq_handover_reader *r, nmq_sessions *sessions, nmq_consumers *consumers,
      int64_t over_ms)
{
    *r = (nmq_handover_reader){.sessions = sessions, .consumers = consumers};
    nmq_objects_init(&r->objects, over_ms);
}

int
nmq_handover_restore(nmq_sessions *sessions, nmq_consumers *consumers, nmq_bytes in)
{
    nmq_handover_reader r;
    begin(&r, sessions, consumers, 0);
    int rv = let_in(&r, take_all(&r, in));

    nmq_handover_reader_fini(&r);
    return rv;
}

// --- a log that goes on

void
nmq_handover_log_begin(nmq_handover_reader *reader, nmq_sessions *sessions,
                       nmq_consumers *consumers, const nmq_handover_log *log)
{
    begin(reader, sessions, consumers, log->over_ms);
    reader->objects.keeps_numbers = true;
    reader->objects.lenient = log->lenient;
    reader->objects.uses = log->uses;
}

int
nmq_handover_log_take(nmq_handover_reader *reader, int64_t wall_ms, nmq_bytes records)
{
    nmq_journal_record record;
    int rv = NMQ_OK;

    nmq_objects_pass_to(&reader->objects, wall_ms);
    while (records.len > 0 && rv == NMQ_OK) {
        rv = nmq_journal_get(&records, &record);
        if (rv == NMQ_EMALFORMED && (records.len == 0 || reader->objects.lenient)) {
            reader->passed += records.len > 0;
            return NMQ_OK; // the last ones are of a later version, or cannot be read
        }
        rv = rv == NMQ_OK ? nmq_handover_read(reader, &record) : rv;
    }
    return rv;
}

int
nmq_handover_log_end(nmq_handover_reader *reader, nmq_journal *journal, uint64_t *passed)
{
    if (journal != NULL) {
        nmq_journal_go_on(journal, reader->objects.messages.base,
                          reader->objects.origins.base,
                          nmq_reader_sessions(&reader->clients));
        nmq_durable_begin(reader->sessions->router, journal);
    }
    int rv = let_in(reader, NMQ_OK);
    *passed = reader->passed;
    nmq_handover_reader_fini(reader);
    return rv;
}

void
nmq_handover_log_cancel(nmq_handover_reader *reader)
{
    for (uint32_t i = 0; i < reader->clients.count; i++) {
        if (reader->clients.at[i].client != NULL) {
            end_client(reader, reader->clients.at[i].client);
        }
    }
    nmq_handover_reader_fini(reader);
}
