#include "route/handover_restore.h"

#include <string.h>

#include "base/status.h"
#include "route/handover_reader.h"
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

// A client that was connected when the records ended is away from now on.
static void
leave(const nmq_handover_reader *r, nmq_client *client)
{
    int64_t now_ms = r->objects.now.clock_ms;

    if (client->expiry_due_ms == 0 && client->expiry_interval_s != UINT32_MAX) {
        client->expiry_due_ms = now_ms + (int64_t) client->expiry_interval_s * 1000;
    }
    if (client->will.message != NULL && client->will_due_ms == 0) {
        client->will_due_ms = now_ms + (int64_t) client->will.delay_s * 1000;
    }
}

// Returns NMQ_OK, or NMQ_EINVAL or NMQ_ENOMEM with the client still the caller's.
static int
let_one_in(nmq_handover_reader *r, uint32_t place)
{
    nmq_client *client = r->clients.at[place];
    uint32_t taken;

    if (!client->consumes) {
        leave(r, client);
        return nmq_sessions_restore(r->sessions, client);
    }
    memcpy(&taken, r->taken.at + place * sizeof taken, sizeof taken);
    return nmq_consumers_restore(r->consumers, client, taken);
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
            nmq_will_drop(client); // it must not go out
            nmq_sessions_end(r->sessions, client);
            fault = fault == NMQ_OK ? rv : fault;
        }
        restored += rv == NMQ_OK;
    }
    return fault != NMQ_OK ? fault : restored;
}

int
nmq_handover_restore(nmq_sessions *sessions, nmq_consumers *consumers, nmq_bytes in)
{
    nmq_handover_reader r = {
        .sessions = sessions, .consumers = consumers, .objects.now = nmq_moment_now()};
    int rv = let_in(&r, take_all(&r, in));

    nmq_handover_reader_fini(&r);
    return rv;
}
