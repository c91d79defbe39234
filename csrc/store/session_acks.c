#include "store/session_acks.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "store/session_log.h"
#include "store/session_write.h"

// Its client has the message, or says that it does not take it.
static void
tell_acked(const nmq_session *s, const nmq_inflight_entry *entry, uint8_t reason_code)
{
    if ((NMQ_LIVE(s->observer->wanted) >> NMQ_EVENT_ACKED & 1) != 0 &&
        entry->delivery.message != NULL) {
        const nmq_message_parts parts = nmq_message_parts_of(entry->delivery.message);
        nmq_session_tell(s, &(nmq_session_event){.kind = NMQ_EVENT_ACKED,
                                                 .message = &parts,
                                                 .numbers = {reason_code}});
    }
}

// A PUBREC moves the entry on to PUBCOMP, or ends it when it carries an error. A second one
// is answered again: the PUBREL was lost.
static int
received(nmq_session *s, nmq_outbox *outbox, nmq_inflight_entry *entry, uint8_t reason_code)
{
    tell_acked(s, entry, reason_code);
    if (reason_code >= NMQ_RC_UNSPECIFIED_ERROR) { // [MQTT-4.4.0-2]
        nmq_session_end_entry(s, entry);
        return NMQ_OK;
    }
    if (s->log != NULL) {
        return nmq_session_log_receive(s, outbox, entry);
    }
    if (entry->state == NMQ_INFLIGHT_PUBREC) {
        nmq_inflight_received(&s->inflight, entry); // [MQTT-4.3.3-4]
    }
    return nmq_session_write_pubrel(s, outbox, entry->packet_id, NMQ_RC_SUCCESS);
}

// A PUBREC for an identifier that is not in use: in 5.0 the PUBREL says so, in 3.1.1 it
// cannot. A PUBREC that carries an error has ended the exchange, and is not answered
// [MQTT-4.3.3-4].
static int
received_unknown(nmq_session *s, nmq_outbox *outbox, uint16_t packet_id,
                 uint8_t reason_code)
{
    int rv =
        reason_code < NMQ_RC_UNSPECIFIED_ERROR
            ? nmq_session_write_pubrel(s, outbox, packet_id, NMQ_RC_PACKET_ID_NOT_FOUND)
            : NMQ_OK;

    return rv == NMQ_OK ? NMQ_ENOENT : rv;
}

static int
handle_ack(nmq_session *s, nmq_outbox *outbox, uint8_t type, uint16_t packet_id,
           uint8_t reason_code)
{
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, packet_id);
    uint8_t state = entry != NULL ? entry->state : NMQ_INFLIGHT_FREE;

    if (state == NMQ_INFLIGHT_FREE) {
        return type == NMQ_PUBREC ? received_unknown(s, outbox, packet_id, reason_code)
                                  : NMQ_ENOENT;
    }
    if (type == NMQ_PUBREC && state != NMQ_INFLIGHT_PUBACK) {
        return received(s, outbox, entry, reason_code);
    }
    if ((type == NMQ_PUBACK && state == NMQ_INFLIGHT_PUBACK) ||
        (type == NMQ_PUBCOMP && state == NMQ_INFLIGHT_PUBCOMP)) {
        tell_acked(s, entry, reason_code); // a PUBCOMP ends what PUBREC acknowledged
        nmq_session_end_entry(s, entry);
        return NMQ_OK;
    }
    return NMQ_EINVAL; // not what its QoS and state ask for (4.3.2, 4.3.3)
}

int
nmq_session_acked(nmq_session *session, nmq_outbox *outbox, uint8_t type,
                  uint16_t packet_id, uint8_t reason_code, size_t room, int64_t now_ms)
{
    int rv = handle_ack(session, outbox, type, packet_id, reason_code);

    if (rv == NMQ_ENOMEM || rv == NMQ_EINVAL) {
        return rv;
    }
    if (session->queue.count > 0 || session->resend != NULL) { // see nmq_session_pump
        int pumped = nmq_session_pump(session, outbox, room, now_ms);
        return pumped != NMQ_OK ? pumped : rv;
    }
    return rv;
}

// Takes the next entry in flight out, in the order of sending. Returns false when none is
// left. A delivery that nobody else may have is freed: out->message is NULL then.
static bool
take_inflight(nmq_session *s, nmq_delivery *out)
{
    if (s->resend_at == s->resend_count) {
        return false;
    }
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, s->resend[s->resend_at++]);
    *out = (nmq_delivery){0};
    if (entry != NULL) {
        if (entry->state == NMQ_INFLIGHT_PUBACK && entry->delivery.group != 0) {
            *out = entry->delivery;
            (void) nmq_message_ref(out->message);
            entry->delivery.subscription_id_count = 0; // out has them
        }
        nmq_inflight_give(&s->inflight, entry);
    }
    return true;
}

bool
nmq_session_take_shared(nmq_session *session, nmq_delivery *out)
{
    if (session->inflight.count > 0 && session->resend_at == session->resend_count &&
        nmq_session_resume(session) != NMQ_OK) {
        return false;
    }
    while (take_inflight(session, out)) {
        if (out->message != NULL) {
            return true;
        }
    }
    while (nmq_queue_pop(&session->queue, out)) {
        if (out->group != 0) {
            return true;
        }
        nmq_session_tell_lost(session, out->message, NMQ_EVENT_DROPPED,
                              NMQ_WHY_SESSION_ENDED);
        nmq_delivery_fini(out);
    }
    return false;
}

int
nmq_session_receive(nmq_session *session, uint16_t packet_id)
{
    if (nmq_id_set_has(&session->unreleased, packet_id)) {
        return 0;
    }
    int rv = nmq_id_set_put(&session->unreleased, packet_id);
    if (rv != NMQ_OK) {
        return rv;
    }
    if (session->log != NULL) {
        nmq_session_log_unreleased(session, packet_id);
    }
    return 1;
}

// The identifier means a new message from now on [MQTT-4.3.3-12].
bool
nmq_session_released(nmq_session *session, uint16_t packet_id)
{
    return session->log == NULL ? nmq_id_set_del(&session->unreleased, packet_id)
                                : nmq_session_log_release(session, packet_id);
}
