#include "mqtt_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "broker.h"
#include "io/dialer.h"
#include "mqtt/client_state.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/close_all.h"
#include "net/linger.h"
#include "net/send.h"
#include "net/start.h"
#include "net/timers.h"

enum { CLOSE_MS = 5000, PACKET_MAX_BYTES = 1 << 20, KEPT_S = 300 };

typedef struct note {
    struct note *next;
    test_note note;
} note;

typedef struct {
    nmq_conn net; // first: a connection is the client's
    test_client *client;
    enum nmq_client_state state; // receive side
    nmq_timer ping;              // clock
    int64_t ping_ms;             // atomic: between two PINGREQ; 0: none
    uint8_t received[65536 / 8]; // receive side: QoS 2 messages that are not released yet
} client_conn;

struct test_client {
    nmq_conns conns;
    int wake_fd;
    test_client_options options; // of the dial; its texts are below
    nmq_packet connect;          // borrows of `texts`
    char texts[3][128];
    pthread_mutex_t lock;
    nmq_dial *dial; // lock
    nmq_conn *conn; // lock; a reference; NULL: not connected
    note *first;    // lock
    note *last;     // lock, where first is not NULL
};

static client_conn *
conn_of(nmq_conn *net)
{
    return (client_conn *) (void *) net;
}

// --- what happened

// Call with the lock. Room for it is made with malloc: it is no memory of the core's.
static void
put_note(test_client *c, const test_note *what)
{
    note *n = malloc(sizeof *n);

    assert(n != NULL);
    *n = (note){.note = *what};
    *(c->first != NULL ? &c->last->next : &c->first) = n;
    c->last = n;
    (void) eventfd_write(c->wake_fd, 1);
}

static void
tell(test_client *c, uint8_t kind, uint16_t id, int number)
{
    test_note what = {.kind = kind, .id = id, .number = number};

    (void) pthread_mutex_lock(&c->lock);
    put_note(c, &what);
    (void) pthread_mutex_unlock(&c->lock);
}

bool
test_client_next(test_client *client, test_note *out)
{
    eventfd_t unused;

    (void) pthread_mutex_lock(&client->lock);
    note *n = client->first;
    if (n != NULL) {
        client->first = n->next;
        *out = n->note;
    }
    if (client->first == NULL) {
        (void) eventfd_read(client->wake_fd, &unused);
    }
    (void) pthread_mutex_unlock(&client->lock);
    free(n);
    return n != NULL;
}

int
test_client_wait_fd(const test_client *client)
{
    return client->wake_fd;
}

// --- packets of ours

// Appends the packet to what is sent. Call without a lock.
static int
put(nmq_conn *net, const nmq_packet *packet)
{
    nmq_buf bytes = {0};
    int rv = nmq_encode(&bytes, nmq_conn_version(net), packet);

    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&net->link.lock);
        rv = net->link.closed
                 ? NMQ_ECLOSED
                 : nmq_outbox_put(&net->link.outbox, (nmq_bytes){bytes.at, bytes.len});
        (void) pthread_mutex_unlock(&net->link.lock);
    }
    nmq_buf_free(&bytes);
    return rv;
}

// The same from the receive side: it is flushed when the batch ends.
static enum nmq_next
answer(nmq_conn *net, nmq_batch *batch, uint8_t type, uint16_t id)
{
    int rv = put(net, &(nmq_packet){.type = type, .packet_id = id});

    (void) pthread_mutex_lock(&net->link.lock);
    nmq_batch_touch(batch, &net->link);
    (void) pthread_mutex_unlock(&net->link.lock);
    return rv == NMQ_OK || rv == NMQ_ECLOSED ? NMQ_NEXT_PACKET : NMQ_NEXT_END;
}

// Returns a reference to the connection; NULL: there is none.
static nmq_conn *
take_conn(test_client *c)
{
    (void) pthread_mutex_lock(&c->lock);
    nmq_conn *net = c->conn;
    if (net != NULL) {
        (void) nmq_link_ref(&net->link);
    }
    (void) pthread_mutex_unlock(&c->lock);
    return net;
}

static int
say(test_client *c, const nmq_packet *packet)
{
    nmq_conn *net = take_conn(c);

    if (net == NULL) {
        return NMQ_ECLOSED;
    }
    int rv = put(net, packet);
    nmq_send_start(net);
    nmq_link_unref(&net->link);
    return rv;
}

int
test_client_subscribe(test_client *client, uint16_t id, const char *filter, uint8_t options)
{
    nmq_packet packet = {.type = NMQ_SUBSCRIBE, .packet_id = id};
    nmq_buf list = {0};
    int rv = nmq_encode_subscription(&list, nmq_bytes_of(filter), options);

    packet.list = (nmq_bytes){list.at, list.len};
    rv = rv == NMQ_OK ? say(client, &packet) : rv;
    nmq_buf_free(&list);
    return rv;
}

int
test_client_unsubscribe(test_client *client, uint16_t id, const char *filter)
{
    nmq_packet packet = {.type = NMQ_UNSUBSCRIBE, .packet_id = id};
    nmq_buf list = {0};
    int rv = nmq_encode_filter(&list, nmq_bytes_of(filter));

    packet.list = (nmq_bytes){list.at, list.len};
    rv = rv == NMQ_OK ? say(client, &packet) : rv;
    nmq_buf_free(&list);
    return rv;
}

int
test_client_publish(test_client *client, uint16_t id, const char *topic,
                    const char *payload, size_t len, uint8_t qos, bool retain)
{
    nmq_packet packet = {.type = NMQ_PUBLISH, .packet_id = id};

    packet.publish = (nmq_publish){.qos = qos,
                                   .retain = retain,
                                   .topic_name = nmq_bytes_of(topic),
                                   .payload = {(const uint8_t *) payload, len}};
    return say(client, &packet);
}

int
test_client_ping(test_client *client)
{
    return say(client, &(nmq_packet){.type = NMQ_PINGREQ});
}

int
test_client_disconnect(test_client *client, uint8_t reason_code)
{
    nmq_conn *net = take_conn(client);

    if (net == NULL) {
        return NMQ_ECLOSED;
    }
    nmq_send_disconnect(&net->link, reason_code);
    nmq_link_unref(&net->link);
    return NMQ_OK;
}

// --- packets of the server

static void
set_state(client_conn *conn, enum nmq_client_state state)
{
    NMQ_STEP(nmq_client_state_next, conn->state, state);
    conn->state = state;
    conn->net.packet_types = nmq_client_state_types(state, conn->net.version);
}

// [MQTT-3.1.2-20]: PINGREQ goes whatever else is sent, so that nobody has to note that.
static void
arm_ping(client_conn *conn, int64_t ping_ms)
{
    if (ping_ms != 0) {
        nmq_conn_arm(&conn->net, &conn->ping, nmq_clock_now_ms() + ping_ms);
    }
}

static void
fire_ping(nmq_timer *timer)
{
    client_conn *conn = NMQ_CONTAINER(timer, client_conn, ping);
    nmq_conn *net = &conn->net;

    if (!nmq_conn_is_closing(net)) {
        (void) put(net, &(nmq_packet){.type = NMQ_PINGREQ});
        nmq_send_start(net);
        arm_ping(conn, __atomic_load_n(&conn->ping_ms, __ATOMIC_RELAXED));
    }
    nmq_link_unref(&net->link); // the timer's
}

static enum nmq_next
handle_connack(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    client_conn *conn = conn_of(net);
    test_client *c = conn->client;
    uint32_t keep_alive_s = nmq_props_number(&packet->props, NMQ_PROP_SERVER_KEEP_ALIVE,
                                             c->connect.connect.keep_alive_s);

    (void) batch;
    if (packet->reason_code != NMQ_RC_SUCCESS) {
        tell(c, TEST_REFUSED, 0, packet->reason_code);
        nmq_conn_set_end(net, (nmq_fault){packet->reason_code, "refused"});
        return NMQ_NEXT_END;
    }
    set_state(conn, NMQ_CLIENT_IN);
    (void) pthread_mutex_lock(&c->lock);
    (void) nmq_link_ref(&net->link);
    c->conn = net;
    (void) pthread_mutex_unlock(&c->lock);
    // [MQTT-3.1.2-21]; an answer to PINGREQ shows that the server is there
    int64_t ping_ms = (int64_t) keep_alive_s * 750;
    __atomic_store_n(&conn->ping_ms, ping_ms, __ATOMIC_RELAXED);
    nmq_timers_set_idle(net, ping_ms * 2);
    arm_ping(conn, ping_ms);
    tell(c, TEST_CONNECTED, 0, packet->session_present);
    return NMQ_NEXT_PACKET;
}

static void
tell_message(test_client *c, const nmq_packet *packet)
{
    const nmq_publish *p = &packet->publish;
    test_note what = {.kind = TEST_MESSAGE,
                      .id = packet->packet_id,
                      .number = p->qos + (p->retain ? 4 : 0),
                      .payload_len = p->payload.len};
    size_t len =
        p->payload.len < sizeof what.payload ? p->payload.len : sizeof what.payload;

    if (len > 0) {
        memcpy(what.payload, p->payload.at, len);
    }
    if (p->topic_name.len > 0 && p->topic_name.len < sizeof what.text) {
        memcpy(what.text, p->topic_name.at, p->topic_name.len);
    }
    (void) pthread_mutex_lock(&c->lock);
    put_note(c, &what);
    (void) pthread_mutex_unlock(&c->lock);
}

static enum nmq_next
handle_publish(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    client_conn *conn = conn_of(net);
    uint16_t id = packet->packet_id;
    uint8_t bit = (uint8_t) (1u << (id & 7));

    if (packet->publish.qos < 2) {
        tell_message(conn->client, packet);
        return packet->publish.qos == 0 ? NMQ_NEXT_PACKET
                                        : answer(net, batch, NMQ_PUBACK, id);
    }
    if ((conn->received[id >> 3] & bit) == 0) { // else it comes again [MQTT-4.3.3-10]
        conn->received[id >> 3] |= bit;
        tell_message(conn->client, packet);
    }
    return answer(net, batch, NMQ_PUBREC, id);
}

static enum nmq_next
handle_pubrel(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    client_conn *conn = conn_of(net);
    uint16_t id = packet->packet_id;

    conn->received[id >> 3] &= (uint8_t) ~(1u << (id & 7));
    return answer(net, batch, NMQ_PUBCOMP, id);
}

// PUBACK, PUBREC and PUBCOMP.
static enum nmq_next
handle_ack(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    client_conn *conn = conn_of(net);

    if (packet->type == NMQ_PUBREC && packet->reason_code < NMQ_RC_UNSPECIFIED_ERROR) {
        return answer(net, batch, NMQ_PUBREL, packet->packet_id); // [MQTT-4.3.3-4]
    }
    tell(conn->client, TEST_ACKED, packet->packet_id, packet->reason_code);
    return NMQ_NEXT_PACKET;
}

static enum nmq_next
handle_codes(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    bool subscribed = packet->type == NMQ_SUBACK;

    (void) batch;
    tell(conn_of(net)->client, subscribed ? TEST_SUBSCRIBED : TEST_UNSUBSCRIBED,
         packet->packet_id, packet->list.len > 0 ? packet->list.at[0] : 0);
    return NMQ_NEXT_PACKET;
}

static enum nmq_next
handle_pingresp(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    (void) batch;
    (void) packet;
    tell(conn_of(net)->client, TEST_PONG, 0, 0);
    return NMQ_NEXT_PACKET;
}

// It speaks no enhanced authentication, and has not asked for one.
static enum nmq_next
handle_auth(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    return net->conns->role->refuse(net, batch, packet,
                                    (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH unasked"});
}

static enum nmq_next
handle_disconnect(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    (void) batch;
    nmq_conn_set_end(net, (nmq_fault){packet->reason_code, "the server sent DISCONNECT"});
    set_state(conn_of(net), NMQ_CLIENT_CLOSING);
    return NMQ_NEXT_END;
}

// --- what is no packet

static void
open_conn(nmq_conn *net, void *arg)
{
    client_conn *conn = conn_of(net);
    test_client *c = arg;

    conn->client = c;
    conn->ping.fire = fire_ping;
    __atomic_store_n(&net->version, c->connect.connect.version, __ATOMIC_RELAXED);
    nmq_timers_set_idle(net, c->options.timeout_ms);
    if (put(net, &c->connect) == NMQ_OK) { // [MQTT-3.1.0-1]
        set_state(conn, NMQ_CLIENT_ASKED);
        nmq_send_start(net);
    }
}

static bool
takes_size(const nmq_conn *net, size_t size)
{
    (void) net;
    return size <= PACKET_MAX_BYTES;
}

static enum nmq_next
refuse(nmq_conn *net, nmq_batch *batch, const nmq_packet *packet, nmq_fault fault)
{
    (void) packet;
    nmq_conn_set_end(net, fault);
    if (net->version == NMQ_V5 && conn_of(net)->state == NMQ_CLIENT_IN) { // 4.13.1
        (void) put(net, &(nmq_packet){.type = NMQ_DISCONNECT, .reason_code = fault.code});
        (void) pthread_mutex_lock(&net->link.lock);
        nmq_linger_allow(net);
        nmq_batch_touch(batch, &net->link);
        (void) pthread_mutex_unlock(&net->link.lock);
    }
    set_state(conn_of(net), NMQ_CLIENT_CLOSING);
    return NMQ_NEXT_END;
}

static void
silent(nmq_conn *net)
{
    nmq_conn_set_end(net, (nmq_fault){NMQ_RC_KEEP_ALIVE_TIMEOUT, "the server is silent"});
    net->stream->ops->close(net->stream);
}

static void
farewell(nmq_conn *net, uint8_t reason_code)
{
    uint8_t bytes[3] = {NMQ_DISCONNECT << 4, reason_code != 0, reason_code};
    bool v5 = nmq_conn_version(net) == NMQ_V5;

    bytes[1] = v5 && reason_code != 0;
    (void) nmq_outbox_put(&net->link.outbox, (nmq_bytes){bytes, 2u + bytes[1]});
    nmq_linger_allow(net); // the server reads it, and closes
}

static void
closed(nmq_conn *net)
{
    client_conn *conn = conn_of(net);
    test_client *c = conn->client;

    nmq_conn_cancel(net, &conn->ping);
    (void) pthread_mutex_lock(&net->link.lock);
    test_note what = {.kind = TEST_CLOSED, .number = net->end.code};
    if (net->end.why != NULL) {
        (void) strncpy(what.text, net->end.why, sizeof what.text - 1);
    }
    (void) pthread_mutex_unlock(&net->link.lock);
    (void) pthread_mutex_lock(&c->lock);
    bool mine = c->conn == net;
    c->conn = mine ? NULL : c->conn;
    put_note(c, &what);
    (void) pthread_mutex_unlock(&c->lock);
    if (mine) {
        nmq_link_unref(&net->link);
    }
}

static void
fini(nmq_conn *net)
{
    (void) net;
}

static const nmq_role role = {
    .size = sizeof(client_conn),
    .dials = true,
    .packet =
        {
            [NMQ_CONNACK] = handle_connack,
            [NMQ_PUBLISH] = handle_publish,
            [NMQ_PUBACK] = handle_ack,
            [NMQ_PUBREC] = handle_ack,
            [NMQ_PUBREL] = handle_pubrel,
            [NMQ_PUBCOMP] = handle_ack,
            [NMQ_SUBACK] = handle_codes,
            [NMQ_UNSUBACK] = handle_codes,
            [NMQ_PINGRESP] = handle_pingresp,
            [NMQ_DISCONNECT] = handle_disconnect,
            [NMQ_AUTH] = handle_auth,
        },
    .open = open_conn,
    .takes_size = takes_size,
    .refuse = refuse,
    .silent = silent,
    .farewell = farewell,
    .closed = closed,
    .fini = fini,
};

// --- the client

test_client *
test_client_new(nmq_broker *broker)
{
    test_client *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(c->wake_fd >= 0);
    (void) pthread_mutex_init(&c->lock, NULL);
    nmq_broker_conns_init(broker, &role, c, &c->conns);
    return c;
}

static void
dialled(void *arg, nmq_stream *stream, const nmq_dial_failure *failure)
{
    test_client *c = arg;
    test_note what = {.kind = TEST_FAILED};

    if (stream != NULL) {
        what.number = nmq_start_dialled(&c->conns, stream, c);
        if (what.number == NMQ_OK) {
            return;
        }
    } else {
        what.number = failure->status;
        what.id = failure->http_status;
        memcpy(what.text, failure->text, sizeof failure->text);
    }
    (void) pthread_mutex_lock(&c->lock);
    put_note(c, &what);
    (void) pthread_mutex_unlock(&c->lock);
}

// Copies a text that lives as long as the client.
static nmq_bytes
keep(test_client *c, unsigned which, const char *text)
{
    (void) strncpy(c->texts[which], text != NULL ? text : "", sizeof c->texts[which] - 1);
    return nmq_bytes_of(c->texts[which]);
}

int
test_client_dial(test_client *client, const test_client_options *options)
{
    const nmq_dial_options where = {
        .host = options->host,
        .port = options->port,
        .tls = options->tls,
        .path = options->path,
        .timeout_ms = options->timeout_ms,
    };
    nmq_dial *dial;

    client->options = *options;
    client->connect = (nmq_packet){.type = NMQ_CONNECT};
    client->connect.connect = (nmq_connect){
        .version = options->version,
        .clean_start = options->clean_start,
        .keep_alive_s = options->keep_alive_s,
        .client_id = keep(client, 0, options->client_id),
        .has_user_name = options->user_name != NULL,
        .user_name = keep(client, 1, options->user_name),
        .has_password = options->password != NULL,
        .password = keep(client, 2, options->password),
    };
    if (options->version == NMQ_V5 && !options->clean_start) {
        nmq_props_set_number(&client->connect.props, NMQ_PROP_SESSION_EXPIRY_INTERVAL,
                             KEPT_S);
    }
    int rv = nmq_dial_new(&where, client->conns.clock, dialled, client, &dial);
    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&client->lock);
        nmq_dial *old = client->dial;
        client->dial = dial;
        (void) pthread_mutex_unlock(&client->lock);
        nmq_dial_unref(old);
    }
    return rv;
}

void
test_client_cancel(test_client *client)
{
    (void) pthread_mutex_lock(&client->lock);
    nmq_dial *dial = client->dial;
    client->dial = NULL;
    (void) pthread_mutex_unlock(&client->lock);
    if (dial != NULL) {
        nmq_dial_cancel(dial);
        nmq_dial_unref(dial);
    }
}

void
test_client_close(test_client *client)
{
    test_client_cancel(client);
    nmq_close_all(&client->conns, NMQ_RC_SUCCESS, CLOSE_MS);
}

void
test_client_free(test_client *client)
{
    test_note unused;

    while (test_client_next(client, &unused)) {
    }
    nmq_conns_fini(&client->conns);
    (void) close(client->wake_fd);
    (void) pthread_mutex_destroy(&client->lock);
    free(client);
}

long
test_client_live(void)
{
    return nmq_mem_live();
}
