#include "store/session.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "mqtt/varint.h"

// Publishers to a session wait when so much waits in it: the rest of its bound is for those
// that waiting does not help.
enum {
    FEW_SUBS = 8,           // are searched one by one
    QUEUE_SOFT_COUNT = 256, // messages, or all that it may have
    QUEUE_SOFT_PART = 2,    // of its bytes
};

static void
drop_sub_index(nmq_session *s)
{
    if (s->sub_index != NULL) {
        nmq_map_free(s->sub_index);
        nmq_free(s->sub_index);
        s->sub_index = NULL;
    }
}

// What may go out while memory is short.
enum {
    SHORT_OUTBOX_BYTES = 1 << 16, // that wait for the client already
    SHORT_SMALL_BYTES = 1 << 12,  // a payload that is not large
};

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
    s->packet_max = UINT32_MAX;
    s->version = NMQ_V311;
    return s;
}

void
nmq_session_free(nmq_session *session)
{
    if (session == NULL) {
        return;
    }
    for (uint32_t i = 0; i < session->sub_count; i++) {
        nmq_free((void *) session->subs[i].text.at);
    }
    nmq_free(session->subs);
    drop_sub_index(session);
    if (session->owed != NULL) {
        nmq_owed_free(session->owed);
        nmq_free(session->owed);
    }
    nmq_queue_free(&session->queue);
    nmq_inflight_free(&session->inflight);
    nmq_id_set_free(&session->unreleased);
    nmq_aliases_reset(&session->aliases, 0);
    nmq_free(session->resend);
    nmq_free((void *) session->mount.at);
    nmq_free((void *) session->client_id.at);
    nmq_free(session);
}

// Puts a Topic Alias in place of the name, or beside it the first time. Returns the size of
// the packet, and whether the alias is new.
static size_t
use_alias(nmq_session *s, nmq_publish_head *head, bool *is_new)
{
    bool known = false;
    size_t packet_size;
    nmq_bytes name = head->topic_name;

    *is_new = false;
    head->topic_alias = nmq_aliases_find(&s->aliases, name, &known);
    if (known) {
        head->topic_name.len = 0;
    }
    (void) nmq_encode_publish_head_size(head, &packet_size);
    if (head->topic_alias != 0 && !known && packet_size > s->packet_max) {
        head->topic_alias = 0; // it fits without
        (void) nmq_encode_publish_head_size(head, &packet_size);
    }
    *is_new = head->topic_alias != 0 && !known;
    return packet_size;
}

// The topic as the client knows it. Returns false for one from outside its mount point,
// which is not for it: "#" below "site/" also matches "site" itself.
static bool
unmount(const nmq_session *s, nmq_bytes topic_name, nmq_bytes *out)
{
    size_t len = s->mount.len;

    *out = topic_name;
    if (len == 0) {
        return true;
    }
    if (topic_name.len <= len || memcmp(topic_name.at, s->mount.at, len) != 0) {
        return false;
    }
    *out = (nmq_bytes){topic_name.at + len, topic_name.len - len};
    return true;
}

// Writes one PUBLISH. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOOBIG for a packet over the
// client's Maximum Packet Size, which must not be sent [MQTT-3.1.2-24] and counts as if it
// were [MQTT-3.1.2-25], and for one that is not for it.
static int
write_publish(nmq_session *s, nmq_outbox *outbox, nmq_publish_head *head,
              const nmq_message_parts *parts, nmq_message *message, int64_t now_ms)
{
    bool is_new;

    head->version = s->version;
    if (!unmount(s, parts->topic_name, &head->topic_name)) {
        return NMQ_ETOOBIG;
    }
    nmq_bytes topic_name = head->topic_name;
    head->props = parts->props;
    head->payload_len = parts->payload.len;
    if (parts->expires_at_ms != 0) { // what is left of it [MQTT-3.3.2-6]
        head->has_expiry = true;
        int64_t left_ms = parts->expires_at_ms - now_ms;
        head->expiry_interval_s = left_ms > 0 ? (uint32_t) ((left_ms + 999) / 1000) : 0;
    }
    size_t packet_size = use_alias(s, head, &is_new);
    if (packet_size > s->packet_max || packet_size > NMQ_VARINT_MAX) {
        return NMQ_ETOOBIG;
    }
    int rv = nmq_outbox_publish(outbox, head, packet_size, parts->payload, message);
    if (rv == NMQ_OK && is_new) {
        (void) nmq_aliases_learn(&s->aliases, head->topic_alias, topic_name);
    }
    s->sent += rv == NMQ_OK;
    return rv;
}

static int
write_entry(nmq_session *s, nmq_outbox *outbox, const nmq_inflight_entry *entry, bool dup,
            int64_t now_ms)
{
    const nmq_delivery *d = &entry->delivery;
    nmq_message_parts parts = nmq_message_parts_of(d->message);
    nmq_publish_head head = {
        .qos = d->qos,
        .retain = d->retain,
        .dup = dup,
        .packet_id = entry->packet_id,
        .subscription_ids = nmq_delivery_ids(d),
        .subscription_id_count = d->subscription_id_count,
    };

    return write_publish(s, outbox, &head, &parts, d->message, now_ms);
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
    int rv = write_entry(s, outbox, entry, false, now_ms);
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

    return write_publish(s, outbox, &head, offer->parts, offer->message, now_ms);
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
    } else if (offer->subscription_id_count > 1) {
        size_t size = offer->subscription_id_count * sizeof *offer->subscription_ids;
        out->subscription.ids = nmq_alloc(size);
        if (out->subscription.ids == NULL) {
            return NMQ_ENOMEM;
        }
        memcpy(out->subscription.ids, offer->subscription_ids, size);
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

uint64_t
nmq_session_held_bytes(const nmq_session *session)
{
    return session->queue.bytes + session->inflight.bytes;
}

bool
nmq_session_is_full(const nmq_session *session)
{
    return session->queue.count >= session->queue_max ||
           (session->queue_max_bytes != 0 &&
            nmq_session_held_bytes(session) >= session->queue_max_bytes);
}

uint32_t
nmq_session_load(const nmq_session *session)
{
    uint64_t held = nmq_session_held_bytes(session);
    uint64_t max_bytes = session->queue_max_bytes;
    bool few_bytes = max_bytes == 0 || held < max_bytes / QUEUE_SOFT_PART / 2;
    uint64_t load = 0;

    if (session->queue.count == 0 && few_bytes) {
        return 0;
    }
    if (!few_bytes) {
        load = held * NMQ_LOAD_FULL * QUEUE_SOFT_PART / max_bytes;
    }
    uint64_t soft =
        session->queue_max < QUEUE_SOFT_COUNT ? session->queue_max : QUEUE_SOFT_COUNT;
    uint64_t by_count = session->queue.count * (uint64_t) NMQ_LOAD_FULL / soft;
    load = by_count > load ? by_count : load;
    return load < UINT32_MAX ? (uint32_t) load : UINT32_MAX;
}

// Whether resend_next would send or skip one: else an acknowledgement comes first.
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

    if (session->resend != NULL) {
        return can_resend(session);
    }
    if (owed_is_due(session)) {
        return nmq_session_takes_owed(session) > 0;
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
    if (!owed_is_due(session) || session->resend != NULL) {
        return 0;
    }
    return window_for(session, session->owed->first->options);
}

uint32_t
nmq_session_takes_at_once(const nmq_session *session, uint8_t options)
{
    bool behind =
        session->owed != NULL || session->queue.count > 0 || session->resend != NULL;

    return behind ? 0 : window_for(session, options);
}

int
nmq_session_send(nmq_session *session, nmq_outbox *outbox, const nmq_offer *offer,
                 int64_t now_ms)
{
    nmq_delivery delivery;

    if (offer->qos == 0) {
        return write_qos0(session, outbox, offer, now_ms);
    }
    if (make_delivery(offer, &delivery) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    int rv = launch(session, outbox, &delivery, now_ms);
    if (rv != NMQ_OK) {
        nmq_delivery_fini(&delivery);
    }
    return rv;
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
nmq_session_deliver(nmq_session *session, nmq_outbox *outbox, const nmq_offer *offer,
                    int64_t now_ms)
{
    nmq_delivery delivery;

    if (offer->parts->expires_at_ms != 0 && offer->parts->expires_at_ms <= now_ms) {
        return NMQ_DELIVERED_DROPPED; // [MQTT-3.3.2-5]
    }
    if (offer->qos == 0 && outbox == NULL) {
        return NMQ_DELIVERED_DROPPED;
    }
    if (offer->short_window != 0 &&
        nmq_session_refuses(session, outbox, offer->qos, offer->parts->payload.len,
                            offer->short_window)) {
        return NMQ_DELIVERED_REFUSED;
    }
    bool wait = offer->room != 0 && outbox != NULL && outbox->total >= offer->room;
    wait = wait || session->owed != NULL; // behind retained messages
    if (offer->qos == 0 && session->queue.qos0_count == 0 && !wait) {
        return write_qos0(session, outbox, offer, now_ms) == NMQ_OK ? NMQ_DELIVERED_SENT
                                                                    : NMQ_DELIVERED_DROPPED;
    }
    if (outbox != NULL && !wait && session->queue.count == 0 && offer->qos > 0 &&
        window_is_open(session)) {
        return nmq_session_send(session, outbox, offer, now_ms) == NMQ_OK
                   ? NMQ_DELIVERED_SENT
                   : NMQ_DELIVERED_DROPPED;
    }
    if (make_delivery(offer, &delivery) != NMQ_OK) {
        return NMQ_DELIVERED_DROPPED;
    }
    // kept for the client, here or away [MQTT-3.1.2-5 of 3.1.1]
    bool full = !offer->overflow && nmq_session_is_full(session);
    if (full || nmq_queue_push(&session->queue, &delivery) != NMQ_OK) {
        nmq_delivery_fini(&delivery);
        return full ? NMQ_DELIVERED_FULL : NMQ_DELIVERED_DROPPED;
    }
    return NMQ_DELIVERED_QUEUED;
}

static int
write_ack(const nmq_session *s, nmq_outbox *outbox, uint8_t type, uint16_t packet_id,
          uint8_t reason_code)
{
    uint8_t bytes[NMQ_ACK_MAX_BYTES];
    uint8_t *end = nmq_encode_ack(bytes, s->version, type, packet_id, reason_code);

    return nmq_outbox_put(outbox, (nmq_bytes){bytes, (size_t) (end - bytes)});
}

// Sends the next packet that is due again. Returns 1 when sent or skipped, 0 when the
// window is shut, NMQ_ENOMEM.
// What was sent stays, expired or not [MQTT-4.3.3-7] [MQTT-4.3.3-13], until it is
// acknowledged [MQTT-4.3.2-3] [MQTT-4.3.3-3]; after PUBREC it is PUBREL [MQTT-4.3.3-5]
// [MQTT-4.3.3-6].
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
        rv = write_ack(s, outbox, NMQ_PUBREL, id, NMQ_RC_SUCCESS);
    } else if (s->inflight.quota_used >= s->window) {
        return 0;
    } else {
        rv = write_entry(s, outbox, entry, true, now_ms); // [MQTT-3.3.1-1]
        if (rv == NMQ_OK) {
            entry->in_quota = true;
            s->inflight.quota_used++;
        } else if (rv == NMQ_ETOOBIG) {
            nmq_inflight_give(&s->inflight, entry);
            rv = NMQ_OK;
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
        rv = write_entry(s, outbox, &once, false, now_ms);
    }
    if (rv == NMQ_ENOMEM) {
        return rv;
    }
    (void) nmq_queue_pop(&s->queue, &popped);
    if (s->owed != NULL) {
        s->owed->popped++;
    }
    if (!above_qos0 || rv != NMQ_OK) { // else the in-flight table owns it
        nmq_delivery_fini(&popped);
    }
    return NMQ_OK;
}

int
nmq_session_pump(nmq_session *session, nmq_outbox *outbox, size_t room, int64_t now_ms)
{
    int rv = pump_resend(session, outbox, room, now_ms);

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
    nmq_free(session->resend);
    session->resend = ids;
    session->resend_at = 0;
    session->resend_count = (uint32_t) n;
    return NMQ_OK;
}

// A PUBREC moves the entry on to PUBCOMP, or ends it when it carries an error.
static int
received(nmq_session *s, nmq_outbox *outbox, nmq_inflight_entry *entry, uint8_t reason_code)
{
    if (reason_code >= NMQ_RC_UNSPECIFIED_ERROR) { // [MQTT-4.4.0-2]
        nmq_inflight_give(&s->inflight, entry);
        return NMQ_OK;
    }
    nmq_inflight_received(&s->inflight, entry); // [MQTT-4.3.3-4]
    return write_ack(s, outbox, NMQ_PUBREL, entry->packet_id, NMQ_RC_SUCCESS);
}

static int
handle_ack(nmq_session *s, nmq_outbox *outbox, uint8_t type, uint16_t packet_id,
           uint8_t reason_code)
{
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, packet_id);
    uint8_t state = entry != NULL ? entry->state : NMQ_INFLIGHT_FREE;

    if (type == NMQ_PUBREC) {
        if (state == NMQ_INFLIGHT_PUBREC) {
            return received(s, outbox, entry, reason_code);
        }
        if (state == NMQ_INFLIGHT_PUBCOMP) { // a second PUBREC: the PUBREL was lost
            return write_ack(s, outbox, NMQ_PUBREL, packet_id, NMQ_RC_SUCCESS);
        }
        // An unknown identifier: 5.0 says so in PUBREL; 3.1.1 can only go on.
        int rv = write_ack(s, outbox, NMQ_PUBREL, packet_id, NMQ_RC_PACKET_ID_NOT_FOUND);
        return rv == NMQ_OK ? NMQ_ENOENT : rv;
    }
    if ((type == NMQ_PUBACK && state == NMQ_INFLIGHT_PUBACK) ||
        (type == NMQ_PUBCOMP && state == NMQ_INFLIGHT_PUBCOMP)) {
        nmq_inflight_give(&s->inflight, entry);
        return NMQ_OK;
    }
    return NMQ_ENOENT;
}

int
nmq_session_acked(nmq_session *session, nmq_outbox *outbox, uint8_t type,
                  uint16_t packet_id, uint8_t reason_code, size_t room, int64_t now_ms)
{
    int rv = handle_ack(session, outbox, type, packet_id, reason_code);

    if (rv == NMQ_ENOMEM) {
        return rv;
    }
    if (session->queue.count > 0 || session->resend != NULL) { // see nmq_session_pump
        int pumped = nmq_session_pump(session, outbox, room, now_ms);
        return pumped != NMQ_OK ? pumped : rv;
    }
    return rv;
}

// Takes the next entry in flight out, in the order of sending. Returns false when none is
// left; a delivery that nobody else may have is freed, and out->message NULL.
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
    return rv == NMQ_OK ? 1 : rv;
}

// The identifier means a new message from now on [MQTT-4.3.3-12].
bool
nmq_session_released(nmq_session *session, uint16_t packet_id)
{
    return nmq_id_set_del(&session->unreleased, packet_id);
}

// --- the list of subscriptions. A long one has an index: text -> one more than its place.

static nmq_session_sub *
find_sub(const nmq_session *s, nmq_bytes text)
{
    if (s->sub_index != NULL) {
        uintptr_t place = (uintptr_t) nmq_map_get(s->sub_index, text);
        return place != 0 ? &s->subs[place - 1] : NULL;
    }
    for (uint32_t i = 0; i < s->sub_count; i++) {
        if (nmq_bytes_equal(s->subs[i].text, text)) {
            return &s->subs[i];
        }
    }
    return NULL;
}

// Returns NMQ_OK or NMQ_ENOMEM.
static int
index_sub(nmq_session *s, uint32_t at)
{
    return nmq_map_put(s->sub_index, s->subs[at].text, (void *) (uintptr_t) (at + 1));
}

static int
make_sub_index(nmq_session *s)
{
    int rv = NMQ_OK;

    s->sub_index = nmq_zalloc(sizeof *s->sub_index);
    if (s->sub_index == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < s->sub_count && rv == NMQ_OK; i++) {
        rv = index_sub(s, i);
    }
    if (rv != NMQ_OK) {
        drop_sub_index(s);
    }
    return rv;
}

static int
reserve_sub(nmq_session *s)
{
    if (s->sub_count < s->sub_cap) {
        return NMQ_OK;
    }
    uint32_t cap = s->sub_cap == 0 ? 1 : s->sub_cap * 2;
    nmq_session_sub *grown = nmq_resize(s->subs, cap * sizeof *grown);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    s->subs = grown;
    s->sub_cap = cap;
    return cap > FEW_SUBS && s->sub_index == NULL ? make_sub_index(s) : NMQ_OK;
}

int
nmq_session_sub_put(nmq_session *session, const nmq_filter *filter, uint8_t options,
                    uint32_t identifier, bool is_new)
{
    nmq_session_sub *sub = is_new ? NULL : find_sub(session, filter->text);
    nmq_bytes copy;

    if (sub != NULL) {
        sub->options = options;
        sub->identifier = identifier;
        return NMQ_OK;
    }
    if (reserve_sub(session) != NMQ_OK || nmq_bytes_copy(filter->text, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    session->subs[session->sub_count] = (nmq_session_sub){
        .text = copy,
        .identifier = identifier,
        .group_len = (uint16_t) filter->group.len,
        .options = options,
    };
    if (session->sub_index != NULL && index_sub(session, session->sub_count) != NMQ_OK) {
        nmq_free((void *) (uintptr_t) copy.at);
        return NMQ_ENOMEM;
    }
    session->sub_count++;
    return NMQ_OK;
}

nmq_filter
nmq_session_sub_filter(const nmq_session_sub *sub)
{
    const size_t share = sizeof "$share/" - 1;
    size_t before = sub->group_len > 0 ? share + sub->group_len + 1 : 0;
    nmq_filter filter = {
        .filter = {sub->text.at + before, sub->text.len - before},
        .text = sub->text,
    };

    if (before > 0) {
        filter.group = (nmq_bytes){sub->text.at + share, sub->group_len};
    }
    return filter;
}

void
nmq_session_sub_del(nmq_session *session, nmq_bytes text)
{
    nmq_session_sub *sub = find_sub(session, text);

    if (sub == NULL) {
        return;
    }
    nmq_bytes old = sub->text;
    uint32_t last = --session->sub_count;
    if (session->sub_index != NULL) {
        (void) nmq_map_del(session->sub_index, old);
    }
    *sub = session->subs[last];
    if (session->sub_index != NULL && sub != &session->subs[last]) {
        // the key is there: nothing is allocated
        (void) index_sub(session, (uint32_t) (sub - session->subs));
    }
    nmq_free((void *) (uintptr_t) old.at);
    if (last == 0) { // an idle session is small
        drop_sub_index(session);
        nmq_free(session->subs);
        session->subs = NULL;
        session->sub_cap = 0;
    }
}
