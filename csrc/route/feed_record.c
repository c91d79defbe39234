#include "route/feed_record.h"

#include <string.h>

#include "base/clock.h"

static void
fill_publisher(nmq_feed_message *head, const nmq_origin *origin)
{
    head->flags |= NMQ_FEED_PUBLISHER;
    head->flags |= origin->has_user_name ? NMQ_FEED_USER_NAME : 0;
    head->client_id_len = origin->client_id_len;
    head->user_name_len = origin->user_name_len;
    head->listener_key = origin->listener_key;
    head->port = origin->peer.port;
    head->address_len = origin->peer.address_len;
    memcpy(head->address, origin->peer.address, sizeof head->address);
}

static void
fill_expiry(nmq_feed_message *head, int64_t left_ms)
{
    head->flags |= NMQ_FEED_EXPIRES;
    head->expiry_interval_s = left_ms > 0 ? (uint32_t) ((left_ms + 999) / 1000) : 0;
}

static nmq_feed_piece
piece(nmq_bytes in)
{
    return (nmq_feed_piece){in.at, in.len};
}

enum { MESSAGE_PIECES = 6 };

// Writes the head, and what stands behind it as pieces.
static void
make_message(nmq_feed_message *head, nmq_feed_piece pieces[MESSAGE_PIECES],
             const nmq_message_parts *parts, uint8_t flags, int64_t now_ms)
{
    const nmq_origin *origin = parts->origin;

    *head = (nmq_feed_message){
        .payload_len = (uint32_t) parts->payload.len,
        .props_len = (uint32_t) parts->props.len,
        .at_ms = parts->published_ms != 0 ? parts->published_ms : nmq_clock_wall_ms(),
        .topic_len = (uint16_t) parts->topic_name.len,
        .qos = parts->qos,
        .flags = (uint8_t) ((parts->retain ? NMQ_FEED_RETAIN : 0) | flags),
    };
    pieces[0] = (nmq_feed_piece){head, sizeof *head};
    pieces[1] = piece(parts->topic_name);
    pieces[2] = pieces[3] = (nmq_feed_piece){0};
    if (origin != NULL) {
        fill_publisher(head, origin);
        pieces[2] = piece(nmq_origin_client_id(origin));
        pieces[3] = piece(nmq_origin_user_name(origin));
    }
    pieces[4] = piece(parts->props);
    pieces[5] = piece(parts->payload);
    if (parts->expires_at_ms != 0) {
        fill_expiry(head, parts->expires_at_ms - now_ms);
    }
    head->size = (uint32_t) (sizeof *head + head->topic_len + head->client_id_len +
                             head->user_name_len + head->props_len + head->payload_len);
}

bool
nmq_feed_put_message(nmq_feed *feed, const nmq_message_parts *parts, uint8_t flags,
                     int64_t now_ms)
{
    nmq_feed_message head;
    nmq_feed_piece pieces[MESSAGE_PIECES];

    make_message(&head, pieces, parts, flags, now_ms);
    return nmq_feed_put(feed, pieces, MESSAGE_PIECES);
}

static void
fill_who(nmq_feed_event *head, const nmq_who *who)
{
    head->flags = NMQ_FEED_PUBLISHER;
    head->flags |= who->user_name.at != NULL ? NMQ_FEED_USER_NAME : 0;
    head->client_id_len = (uint16_t) who->client_id.len;
    head->user_name_len = (uint16_t) who->user_name.len;
    head->listener_key = who->listener_key;
    head->port = who->peer->port;
    head->address_len = who->peer->address_len;
    memcpy(head->address, who->peer->address, sizeof head->address);
}

bool
nmq_feed_put_event(nmq_feed *feed, const nmq_event *event)
{
    enum { OWN_PIECES = 4 };
    nmq_feed_message message;
    nmq_feed_piece pieces[OWN_PIECES + MESSAGE_PIECES] = {0};
    nmq_feed_event head = {
        .kind = event->kind,
        .at_ms = nmq_clock_wall_ms(),
        .text_len = (uint32_t) event->text.len,
        .why = (uint8_t) event->why,
    };
    uint32_t count = OWN_PIECES;

    memcpy(head.numbers, event->numbers, sizeof head.numbers);
    pieces[0] = (nmq_feed_piece){&head, sizeof head};
    if (event->who != NULL) {
        fill_who(&head, event->who);
        pieces[1] = piece(event->who->client_id);
        pieces[2] = piece(event->who->user_name);
    }
    pieces[3] = piece(event->text);
    if (event->message != NULL) {
        make_message(&message, pieces + OWN_PIECES, event->message, 0, nmq_clock_now_ms());
        head.message_size = message.size;
        count += MESSAGE_PIECES;
    }
    head.size = (uint32_t) sizeof head + head.client_id_len + head.user_name_len +
                head.text_len + head.message_size;
    return nmq_feed_put(feed, pieces, count);
}
