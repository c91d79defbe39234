// conn.h - Network Connections: read, decode, handle, flush, close.
//
//     accept ──> new ──CONNECT──> (deciding, authenticating) ──> open ──> closing ──> freed
//
//     receive side   one thread at a time: the receive callback, or whoever resumes a
//                    connection that is held or waits for an answer
//     send side      whoever set `sending`; the outbox fills behind its back
//
// Owner    counted through its link. The receive side holds one reference from accept until
//          conn_end, a send under way another.
// Threads  each field names its side or its lock.
#pragma once
#include "base/map.h"
#include "mqtt/conn_state.h"
#include "mqtt/decode.h"
#include "net/stream.h"
#include "nmq.h"
#include "route/registry.h"

// All connections of one broker.
typedef struct {
    nmq_router *router;
    const nmq_options *options;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    nmq_map by_number;    // lock: those whose receive side is not over
    uint64_t open;        // lock: not yet freed
    uint64_t next_number; // lock
    bool closing;         // lock: no more are taken
} nmq_conns;

// Why a connection ends or a packet is refused.
typedef struct {
    uint8_t code;    // Reason Code
    const char *why; // a fixed text for the Reason String; NULL: none
} nmq_fault;

// A connection that asked Python something; see auth.c. Receive side, but for what
// nmq_conn_take_answer writes, which comes before the receive side goes on.
typedef struct {
    nmq_buf connect;   // the CONNECT that waits
    nmq_buf question;  // to be posted
    nmq_bytes method;  // Authentication Method of the CONNECT, owned; NULL: none
    nmq_buf data;      // of the answer
    nmq_buf user_name; // of the answer
    bool has_data;
    bool has_user_name;
    bool goes_on;        // a re-authentication is under way
    uint8_t step;        // of the question: 0 CONNECT, else AUTH's Reason Code
    uint8_t reason_code; // of the answer
} nmq_auth;

typedef struct {
    nmq_link link; // first: a link is a connection
    nmq_conns *conns;
    nmq_stream *stream;
    uint64_t number;           // fixed
    nmq_buf in;                // receive side: bytes not handled yet
    size_t in_cap_next;        // receive side: how large the next buffer shall be
    enum nmq_conn_state state; // receive side
    nmq_bytes *aliases;        // receive side: topics by Topic Alias, owned; NULL: none
    nmq_client *client;        // set by the receive side with link.lock; a reference
    nmq_acl_view *acl;         // receive side; NULL: everything is allowed
    uint64_t acl_version;      // receive side: of the rules that `acl` is for
    nmq_outbox sending;        // send side
    bool is_sending;           // link.lock
    bool closing;              // link.lock: close once all is sent
    bool asking;               // link.lock: a question is out
    bool answered;             // receive side: an answer is to be handled
    nmq_auth *auth;            // receive side; NULL: never asked, or answered for good
    uint32_t packet_max;       // receive side: the client's Maximum Packet Size
    bool problem_info;         // receive side: Request Problem Information
    bool send_will;            // receive side: at the end
    bool acked;                // receive side: this batch acknowledged something
    uint8_t version;           // atomic; 0 before CONNECT
    uint32_t quiet_reads;      // receive side: reads in a row that used little
    uint32_t idle_ms;          // atomic: longest silence, 0: any
    int64_t last_packet_ms;    // atomic
    uint64_t retry_acks;       // clock: in-flight head at the last retry
    uint64_t messages_in;      // receive side: of this batch
    uint64_t payload_in;       // receive side: of this batch, bytes
    uint64_t packets_in;       // receive side: of this batch
    nmq_timer timer;           // clock
    char peer[64];             // fixed
} nmq_conn;

void nmq_conns_init(nmq_conns *conns, nmq_router *router, const nmq_options *options);

// Tells every client the reason, sends what waits, and returns when all connections are
// freed or at timeout_ms; then it closes what is left.
void nmq_conns_close_all(nmq_conns *conns, uint8_t reason_code, uint32_t timeout_ms);
void nmq_conns_fini(nmq_conns *conns);

// An nmq_accept_fn: arg is the nmq_conns.
void nmq_conn_accept(void *arg, nmq_stream *stream);

// Answers the question that a connection asked. NMQ_OK or NMQ_ENOENT.
int nmq_conns_answer(nmq_conns *conns, const nmq_answer *answer);

// --- between the files of net/

enum {
    NMQ_CONN_LINGER_MS = 1000, // for what is left to send, before the stream is cut
    NMQ_CONN_IN_MIN = 512,     // bytes of buffer that an idle connection holds
};

nmq_conn *nmq_conn_of(nmq_link *link);
nmq_bytes nmq_conn_key(const nmq_conn *conn);   // under which by_number holds it
uint8_t nmq_conn_version(const nmq_conn *conn); // 0 before CONNECT; thread-safe

// conn_timers.c. Arms one of the connection's timers, or moves it; cancels it. Both keep
// the timer's reference in step.
void nmq_conn_arm(nmq_conn *conn, nmq_timer *timer, int64_t due_ms);
void nmq_conn_cancel(nmq_conn *conn, nmq_timer *timer);
void nmq_conn_fire_timer(nmq_timer *timer); // of conn.timer
void nmq_conn_fire_hold(nmq_timer *timer);  // of link.hold_timer

// conn_send.c. Starts the send side if it rests. `from_batch`: the link leaves that batch's
// list, and so may enter another; nobody else may say so.
void nmq_conn_start_sending(nmq_conn *conn, bool from_batch);
void nmq_conn_on_sent(void *arg, int status, size_t count);    // nmq_stream_done
void nmq_conn_flush(nmq_link *link);                           // nmq_link_ops
void nmq_conn_disconnect(nmq_link *link, uint8_t reason_code); // nmq_link_ops

// conn.c. Call on the receive side; it may be another thread's when they return.
void nmq_conn_post_recv(nmq_conn *conn);
void nmq_conn_process(nmq_conn *conn);
void nmq_conn_on_recv(void *arg, int status, size_t count); // nmq_stream_done
void nmq_conn_resume(nmq_link *link);                       // nmq_link_ops

// What the receive side does next.
enum nmq_next {
    NMQ_NEXT_PACKET, // the packet is handled
    NMQ_NEXT_WAIT,   // the packet is handled; a question is to be posted, and no reading on
    NMQ_NEXT_END,    // the connection is to close; what is in the outbox is still sent
};

// Handles one decoded packet; a connection that is to close has said so to its peer.
enum nmq_next nmq_conn_handle(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);

// Ends the connection for a fault of its peer: CONNACK or DISCONNECT where the version has
// one to say it with [MQTT-4.13.2-1]. Returns NMQ_NEXT_END.
enum nmq_next nmq_conn_refuse(nmq_conn *conn, nmq_batch *batch, nmq_fault fault);

// Appends bytes to the connection's own outbox. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_put(nmq_conn *conn, nmq_batch *batch, nmq_bytes bytes);

// From the next packet on, a silence of idle_ms (0: any) closes the connection.
void nmq_conn_set_idle(nmq_conn *conn, uint32_t idle_ms);

// The handlers of packets that have a file of their own.
enum nmq_next nmq_conn_handle_connect(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_conn_handle_auth(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_conn_handle_publish(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_conn_handle_subscribe(nmq_conn *conn, nmq_batch *batch,
                                        nmq_packet *packet);
enum nmq_next nmq_conn_handle_unsubscribe(nmq_conn *conn, nmq_batch *batch,
                                          nmq_packet *packet);

// admit.c. Lets the client of that CONNECT in.
enum nmq_next nmq_conn_admit(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet);

// Sets the longest silence to what the client's Keep Alive says.
void nmq_conn_keep_alive(nmq_conn *conn);

// access.c. Looks up the rules for that client, before it is in.
// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_know(nmq_conn *conn, nmq_bytes client_id, nmq_bytes user_name);

// Whether the client may do that with the Topic Name or the Topic Filter (a shared one
// too).
bool nmq_conn_may(nmq_conn *conn, enum nmq_acl_action action, nmq_bytes topic);

// Whether a client that may not is to be disconnected.
bool nmq_conn_deny_disconnects(const nmq_conn *conn);

void nmq_conn_forget_rules(nmq_conn *conn); // frees what nmq_conn_know made

// auth.c. Makes a question of a CONNECT or an AUTH; nmq_conn_post_question puts it to
// Python, as the last thing the receive side does.
enum nmq_next nmq_conn_ask(nmq_conn *conn, const nmq_packet *packet);
void nmq_conn_post_question(nmq_conn *conn);

// Copies the answer, before the connection goes on with nmq_conn_handle_answer.
void nmq_conn_take_answer(nmq_conn *conn, const nmq_answer *answer);
enum nmq_next nmq_conn_handle_answer(nmq_conn *conn, nmq_batch *batch);
void nmq_auth_properties(const nmq_auth *auth, nmq_props *props);
void nmq_auth_free(nmq_auth *auth); // takes NULL

// handle.c. Encodes the packet to the connection's own outbox. A Reason String is left out
// where the client did not ask for it [MQTT-3.1.2-29] or the packet would be too large; a
// packet that still is too large ends the connection.
enum nmq_next nmq_conn_put_packet(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);

// Encodes PUBACK, PUBREC or PUBCOMP.
enum nmq_next nmq_conn_put_ack(nmq_conn *conn, nmq_batch *batch, uint8_t type,
                               uint16_t packet_id, nmq_fault how);

// Logs it and ends the connection.
enum nmq_next nmq_conn_no_memory(nmq_conn *conn);

// handle.c. Whether the topic has no more levels, the packet no more User Properties than
// are allowed.
bool nmq_conn_levels_fit(const nmq_conn *conn, nmq_bytes topic);
bool nmq_conn_properties_fit(const nmq_conn *conn, const nmq_props *props);

// publish.c. Returns what is wrong with the QoS or the RETAIN flag of a message or a will,
// or with its topic; code 0: nothing.
nmq_fault nmq_conn_check_message(const nmq_conn *conn, nmq_bytes topic_name, uint8_t qos,
                                 bool retain);

// publish.c. Whether the topic is "$SYS" or lies below it: the broker's own (4.7.2).
bool nmq_conn_is_reserved(nmq_bytes topic_name);

// publish.c. The properties that travel with a message: all but those that belong to one
// hop. They are borrowed where the block can be used as it is, else copied to *scratch,
// which the caller frees. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_forwarded(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out);

// When a message with these properties expires; 0: never.
int64_t nmq_conn_expires_at(const nmq_props *props, int64_t now_ms);
