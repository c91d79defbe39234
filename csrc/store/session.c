#include "store/session.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "store/session_log.h"
#include "store/session_subs.h"
#include "store/session_write.h"

// What may go out while memory is short.
enum {
    SHORT_OUTBOX_BYTES = 1 << 16, // that wait for the client already
    SHORT_SMALL_BYTES = 1 << 12,  // a payload that is not large
};

static nmq_observer nobody;

nmq_session *
nmq_session_new(nmq_bytes client_id)
{
    nmq_session *s = nmq_zalloc(sizeof *s);

    if (s == NULL || nmq_bytes_copy(client_id, &s->client_id) != NMQ_OK) {
        nmq_free(s);
        return NULL;
    }
    s->window = 1;
    s->queue_max = 1;
    s->client_packet_max = s->packet_max = UINT32_MAX;
    s->version = NMQ_V311;
    s->observer = &nobody;
    return s;
}

void
nmq_session_free(nmq_session *session)
{
    if (session == NULL) {
        return;
    }
    nmq_session_subs_free(session);
    if (session->owed != NULL) {
        nmq_owed_free(session->owed);
        nmq_free(session->owed);
    }
    nmq_queue_free(&session->queue);
    nmq_inflight_free(&session->inflight);
    nmq_id_set_free(&session->unreleased);
    nmq_aliases_reset(&session->aliases, 0);
    nmq_session_log_free(session->log);
    nmq_free(session->resend);
    nmq_bytes_free(&session->mount);
    if (session->outward != NULL) {
        session->outward->free(session->outward);
    }
    nmq_bytes_free(&session->client_id);
    nmq_free(session);
}

// Sends a delivery at QoS 1 or 2, which the in-flight table then owns. Returns NMQ_OK; else
// the delivery is still the caller's and its identifier free: NMQ_ENOMEM, or NMQ_ETOOBIG
// for one that is to be dropped. A new identifier [MQTT-4.3.2-1] [MQTT-4.3.3-1] and DUP 0
// [MQTT-4.3.2-2] [MQTT-4.3.3-2], whatever DUP the publisher sent [MQTT-3.3.1-3].
static int
launch(nmq_session *s, nmq_outbox *outbox, const nmq_delivery *delivery, int64_t now_ms)
{
    nmq_inflight_entry *entry = nmq_inflight_take(&s->inflight, delivery);

    if (entry == NULL) {
        return NMQ_ENOMEM;
    }
    int rv = s->log == NULL ? nmq_session_write_entry(s, outbox, entry, false, now_ms)
                            : nmq_session_log_launch(s, outbox, entry, delivery, now_ms);
    if (rv != NMQ_OK) { // the delivery is still the caller's
        (void) nmq_message_ref(delivery->message);
        entry->delivery.subscription_id_count = 0;
        nmq_inflight_give(&s->inflight, entry);
    }
    return rv;
}

// QoS 0 and DUP 0 [MQTT-4.3.1-1].
static int
write_qos0(nmq_session *s, nmq_outbox *outbox, const nmq_offer *offer, int64_t now_ms)
{
    nmq_publish_head head = {
        .retain = offer->retain,
        .subscription_ids = offer->subscription_ids,
        .subscription_id_count = offer->subscription_id_count,
    };

    return nmq_session_write_publish(s, outbox, &head, offer->parts, offer->message,
                                     now_ms);
}

static int
copy_ids(const nmq_offer *offer, nmq_delivery *out)
{
    size_t size = offer->subscription_id_count * sizeof *offer->subscription_ids;

    out->subscription.ids = nmq_alloc(size);
    if (out->subscription.ids == NULL) {
        return NMQ_ENOMEM;
    }
    memcpy(out->subscription.ids, offer->subscription_ids, size);
    return NMQ_OK;
}

static int
make_delivery(const nmq_offer *offer, nmq_delivery *out)
{
    *out = (nmq_delivery){
        .qos = offer->qos & 3u,
        .retain = offer->retain,
        .group = offer->group,
        .subscription_id_count = offer->subscription_id_count & NMQ_DELIVERY_IDS_MAX,
    };
    if (offer->subscription_id_count == 1) {
        out->subscription.id = offer->subscription_ids[0];
    } else if (offer->subscription_id_count > 1 && copy_ids(offer, out) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    out->message = nmq_message_ref(offer->message);
    return NMQ_OK;
}

bool
nmq_session_needs_message(const nmq_session *session, uint8_t qos)
{
    return qos > 0 || session->queue.qos0_count > 0 || session->owed != NULL;
}

// The send quota (4.9) is at most the Receive Maximum [MQTT-4.9.0-1] [MQTT-3.3.4-9] and
// bounds PUBLISH above QoS 0 alone [MQTT-4.9.0-2] [MQTT-4.9.0-3] [MQTT-3.3.4-10].
static bool
window_is_open(const nmq_session *s)
{
    return s->inflight.quota_used < s->window && s->resend_at == s->resend_count &&
           (s->queue_max_bytes == 0 || s->inflight.bytes < s->queue_max_bytes);
}

static bool
owed_is_due(const nmq_session *s)
{
    return s->owed != NULL && (s->queue.count == 0 || nmq_owed_is_due(s->owed));
}

// Whether resend_next would send or skip one; if not, it waits for an acknowledgement.
static bool
can_resend(const nmq_session *s)
{
    const nmq_inflight_entry *entry =
        nmq_inflight_find(&s->inflight, s->resend[s->resend_at]);

    return entry == NULL || entry->state == NMQ_INFLIGHT_PUBCOMP ||
           s->inflight.quota_used < s->window;
}

bool
nmq_session_can_send(const nmq_session *session)
{
    const nmq_delivery *front = nmq_queue_front(&session->queue);

    if (nmq_session_takes_owed(session) > 0) {
        return true;
    }
    if (session->resend != NULL) {
        return can_resend(session);
    }
    if (owed_is_due(session)) {
        return false;
    }
    return front != NULL && (front->qos == 0 || window_is_open(session));
}

// How many messages the window lets out to a subscription with those options.
static uint32_t
window_for(const nmq_session *s, uint8_t options)
{
    if ((options & NMQ_SUB_QOS) == 0) {
        return UINT32_MAX;
    }
    return window_is_open(s) ? s->window - s->inflight.quota_used : 0;
}

uint32_t
nmq_session_takes_owed(const nmq_session *session)
{
    if (session->owed == NULL || session->owed->first == NULL) {
        return 0;
    }
    uint8_t options = session->owed->first->options;
    bool waits = (options & NMQ_SUB_QOS) == 0
                     ? session->queue.qos0_count > 0 && !owed_is_due(session)
                     : session->resend != NULL || !owed_is_due(session);
    return waits ? 0 : window_for(session, options);
}

static int
send_above_qos0(nmq_session *session, nmq_outbox *outbox, const nmq_offer *offer,
                int64_t now_ms)
{
    nmq_delivery delivery;

    if (make_delivery(offer, &delivery) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    int rv = launch(session, outbox, &delivery, now_ms);
    if (rv != NMQ_OK) {
        nmq_delivery_fini(&delivery);
    }
    return rv;
}

// Out of line: it is rare.
__attribute__((noinline)) static enum nmq_delivered
not_sent(int rv)
{
    return rv == NMQ_ETOOBIG    ? NMQ_DELIVERED_TOO_LARGE
           : rv == NMQ_ETIMEOUT ? NMQ_DELIVERED_EXPIRED
                                : NMQ_DELIVERED_NO_MEMORY;
}

// What became of a message that was to be sent at once.
static enum nmq_delivered
sent(int rv)
{
    return rv == NMQ_OK ? NMQ_DELIVERED_SENT : not_sent(rv);
}

enum nmq_delivered
nmq_session_send(nmq_session *session, nmq_outbox *outbox, const nmq_offer *offer,
                 int64_t now_ms)
{
    return sent(offer->qos == 0 ? write_qos0(session, outbox, offer, now_ms)
                                : send_above_qos0(session, outbox, offer, now_ms));
}

bool
nmq_session_refuses(const nmq_session *session, const nmq_outbox *outbox, uint8_t qos,
                    size_t payload_len, uint16_t short_window)
{
    uint32_t in_flight = session->inflight.count;

    if (outbox == NULL) {
        return qos > 0; // at QoS 0 it is dropped
    }
    if (outbox->total > SHORT_OUTBOX_BYTES || session->queue.count > 0) {
        return true;
    }
    return qos > 0 &&
           (!window_is_open(session) || in_flight >= short_window ||
            (payload_len > SHORT_SMALL_BYTES && (in_flight > 0 || short_window == 1)));
}

enum nmq_delivered
nmq_session_queue(nmq_session *session, const nmq_offer *offer)
{
    nmq_delivery delivery;

    if (make_delivery(offer, &delivery) != NMQ_OK) {
        return NMQ_DELIVERED_NO_MEMORY;
    }
    // kept for the client, here or away [MQTT-3.1.2-5 of 3.1.1]
    bool full = !offer->overflow && nmq_session_is_full(session) &&
                !(session->drops_oldest && nmq_session_make_room(session));
    if (full || nmq_queue_push(&session->queue, &delivery) != NMQ_OK) {
        nmq_delivery_fini(&delivery);
        return full ? NMQ_DELIVERED_FULL : NMQ_DELIVERED_NO_MEMORY;
    }
    if (session->log != NULL) {
        nmq_session_log_queued(session, &delivery);
    }
    return NMQ_DELIVERED_QUEUED;
}

enum nmq_delivered
nmq_session_deliver(nmq_session *session, nmq_outbox *outbox, const nmq_offer *offer,
                    int64_t now_ms)
{
    if (offer->parts->expires_at_ms != 0 && offer->parts->expires_at_ms <= now_ms) {
        return NMQ_DELIVERED_EXPIRED; // [MQTT-3.3.2-5]
    }
    if (offer->qos == 0 && outbox == NULL) {
        return NMQ_DELIVERED_AWAY;
    }
    if (offer->short_window != 0 &&
        nmq_session_refuses(session, outbox, offer->qos, offer->parts->payload.len,
                            offer->short_window)) {
        return NMQ_DELIVERED_REFUSED;
    }
    bool wait = offer->room != 0 && outbox != NULL && outbox->total >= offer->room;
    wait = wait || session->owed != NULL; // behind retained messages
    if (offer->qos == 0 && session->queue.qos0_count == 0 && !wait) {
        return sent(write_qos0(session, outbox, offer, now_ms));
    }
    if (outbox != NULL && !wait && session->queue.count == 0 && offer->qos > 0 &&
        window_is_open(session)) {
        return sent(send_above_qos0(session, outbox, offer, now_ms));
    }
    return nmq_session_queue(session, offer);
}

// Sends the next packet that is due again. Returns 1 when sent or skipped, 0 when the
// window is shut, NMQ_ENOMEM.
// A message that was sent is sent again even if it has expired [MQTT-4.3.3-7]
// [MQTT-4.3.3-13], until it is acknowledged [MQTT-4.3.2-3] [MQTT-4.3.3-3]; after PUBREC it
// is PUBREL [MQTT-4.3.3-5] [MQTT-4.3.3-6].
static int
resend_next(nmq_session *s, nmq_outbox *outbox, int64_t now_ms)
{
    uint16_t id = s->resend[s->resend_at];
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, id);
    int rv = NMQ_OK;

    if (entry == NULL) { // acknowledged meanwhile
        s->resend_at++;
        return 1;
    }
    if (entry->state == NMQ_INFLIGHT_PUBCOMP) { // PUBREL is outside the Receive Maximum
        rv = nmq_session_write_pubrel(s, outbox, id, NMQ_RC_SUCCESS);
    } else if (s->inflight.quota_used >= s->window) {
        return 0;
    } else {
        bool dup = !s->resends_as_new; // [MQTT-3.3.1-1]
        rv = nmq_session_write_entry(s, outbox, entry, dup, now_ms);
        if (rv == NMQ_OK) {
            entry->in_quota = true;
            s->inflight.quota_used++;
        } else {
            rv = nmq_session_give_up_unsendable(s, entry, rv);
        }
    }
    s->resend_at += rv == NMQ_OK;
    return rv == NMQ_OK ? 1 : rv;
}

static int
pump_resend(nmq_session *s, nmq_outbox *outbox, size_t room, int64_t now_ms)
{
    while (s->resend_at < s->resend_count && outbox->total < room) {
        int rv = resend_next(s, outbox, now_ms);
        if (rv <= 0) {
            return rv;
        }
    }
    if (s->resend != NULL && s->resend_at == s->resend_count) {
        nmq_free(s->resend);
        s->resend = NULL;
        s->resend_at = s->resend_count = 0;
    }
    return NMQ_OK;
}

static int
send_front(nmq_session *s, nmq_outbox *outbox, int64_t now_ms)
{
    const nmq_delivery *front = nmq_queue_front(&s->queue);
    bool expired = nmq_message_is_expired(front->message, now_ms); // [MQTT-3.3.2-5]
    bool above_qos0 = !expired && front->qos > 0;
    nmq_delivery popped;
    int rv = NMQ_OK;

    if (above_qos0) {
        rv = launch(s, outbox, front, now_ms);
    } else if (!expired) {
        nmq_inflight_entry once = {.delivery = *front};
        rv = nmq_session_write_entry(s, outbox, &once, false, now_ms);
    }
    if (rv == NMQ_ENOMEM) {
        return rv;
    }
    (void) nmq_queue_pop(&s->queue, &popped);
    if (s->owed != NULL) {
        s->owed->popped++;
    }
    if (expired || rv != NMQ_OK) {
        expired = expired || rv == NMQ_ETIMEOUT;
        nmq_session_tell_lost(s, popped.message,
                              expired ? NMQ_EVENT_EXPIRED : NMQ_EVENT_DROPPED,
                              expired ? NMQ_WHY_NONE : NMQ_WHY_TOO_LARGE);
        if (s->log != NULL) {
            nmq_session_log_dropped(s, &popped);
        }
    }
    if (!above_qos0 || rv != NMQ_OK) { // else the in-flight table owns it
        nmq_delivery_fini(&popped);
    }
    return NMQ_OK;
}

int
nmq_session_pump(nmq_session *session, nmq_outbox *outbox, size_t room, int64_t now_ms)
{
    int rv = session->log != NULL ? nmq_session_log_pump(session, outbox, now_ms) : NMQ_OK;

    rv = rv == NMQ_OK ? pump_resend(session, outbox, room, now_ms) : rv;
    while (rv == NMQ_OK && session->resend == NULL && outbox->total < room &&
           !owed_is_due(session)) {
        const nmq_delivery *front = nmq_queue_front(&session->queue);
        if (front == NULL || (front->qos > 0 && !window_is_open(session))) {
            break;
        }
        rv = send_front(session, outbox, now_ms);
    }
    return rv;
}

int
nmq_session_resume(nmq_session *session)
{
    nmq_inflight *inflight = &session->inflight;
    uint16_t *ids = NULL;
    int n = inflight->count > 0 ? nmq_inflight_sorted(inflight, &ids) : 0;

    if (n < 0) {
        return n;
    }
    for (int i = 0; i < n; i++) {
        nmq_inflight_find(inflight, ids[i])->in_quota = false;
    }
    inflight->quota_used = 0;
    if (session->log != NULL) { // what waits there is among them
        nmq_session_log_forget_unsent(session);
    }
    session->resends_as_new = false;
    nmq_free(session->resend);
    session->resend = ids;
    session->resend_at = 0;
    session->resend_count = (uint32_t) n;
    return NMQ_OK;
}
