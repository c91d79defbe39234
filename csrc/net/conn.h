// conn.h - Network Connections: read, decode, handle, flush, close.
//
//     accept ──> new ──CONNECT──> (deciding, authenticating) ──> open ──> closing ──> freed
//
//     in   [ MQTT, not handled yet | raw: a PROXY header, an upgrade, frames ]
//                                 ^ plain
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
#include "io/poller.h"
#include "io/ws.h"
#include "mqtt/conn_state.h"
#include "mqtt/decode.h"
#include "net/listener.h"
#include "net/question.h"
#include "route/batch.h"
#include "route/sessions.h"

// All connections of one broker.
typedef struct {
    nmq_router *router;
    nmq_sessions *sessions;
    uint8_t *memory; // NMQ_LIVE, set by nmq_conns_look: enum nmq_memory_level
    const nmq_log *log;
    nmq_counters *counters;
    nmq_clock *clock;
    const nmq_options *options;     // NMQ_LIVE
    nmq_bytes response_information; // lock; owned; at NULL: none
    nmq_gate gate;
    int64_t relieved_ms;    // atomic: when a connection was cut last, or looked for
    int64_t resident_ms;    // atomic: when the system was asked last
    uint8_t resident_level; // atomic: by what it said
    int64_t short_log_ms;   // atomic: when it was logged last that memory is short
    nmq_timer short_timer;  // clock: looks while memory is short, or somebody waits for it
    struct nmq_conn *short_of; // lock: connections that wait for memory
    pthread_mutex_t lock;
    pthread_cond_t freed;
    nmq_map by_number;    // lock: those whose receive side is not over
    uint64_t open;        // lock: not yet freed
    uint32_t strangers;   // atomic: of them, without a client
    uint32_t lingering;   // atomic: of them, those that linger: conn_linger.h
    uint64_t next_number; // lock
    bool closing;         // atomic, written with lock: no more are taken
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
    bool foreign;        // the answer's user is none of the broker's
    bool goes_on;        // a re-authentication is under way
    bool held;           // Python keeps an exchange, until it answers or is told the end
    uint8_t step;        // of the question: 0 CONNECT, else AUTH's Reason Code
    uint8_t reason_code; // of the answer
} nmq_auth;

// A connection over WebSocket: its frames, and what goes out that is no packet.
typedef struct {
    nmq_ws ws;        // receive side; its reply: link.lock
    nmq_buf prefix;   // send side: goes out before the load
    size_t prefix_at; // send side: of it, sent
    bool close_put;   // send side: nothing goes after it
    bool over;        // receive side: no more frames are taken apart
} nmq_conn_ws;

typedef struct nmq_conn nmq_conn;

// What holds for a connection from its CONNECT to its end, because the client was told so
// in CONNACK; see nmq_options.
typedef struct {
    uint32_t packet_max_bytes;
    uint16_t receive_maximum;
    uint16_t topic_alias_max;
    uint16_t keep_alive_max_s; // 0: no bound
    uint8_t qos_max;
    bool retain_available;
    bool wildcards_available;
    bool shared_available;
    bool subscription_ids_available;
} nmq_told;

// The mount point of one client. Receive side.
typedef struct {
    nmq_buf prefix;
    nmq_buf text; // the topic that is mounted just now
} nmq_mount;

// What a client with a rate may still send: it pays as it sends, and waits below 0.
// Receive side, but for the timer.
typedef struct {
    nmq_conn *conn;   // whose it is
    int64_t messages; // thousandths
    int64_t bytes;    // thousandths
    int64_t at_ms;    // when that was so
    nmq_timer timer;  // clock: reads on
} nmq_rate;

struct nmq_conn {
    nmq_link link; // first: a link is a connection
    nmq_conns *conns;
    nmq_listener *listener;          // a reference
    nmq_listener_settings *settings; // a reference: the listener's at accept, or CONNECT
    nmq_stream *stream;
    uint64_t number;      // fixed
    nmq_buf in;           // receive side: bytes not handled yet
    size_t plain;         // receive side: of in, MQTT; raw bytes follow
    size_t drops_left;    // receive side: bytes to drop, at most; 0: it does not linger
    nmq_conn_ws *ws;      // fixed; NULL: MQTT without WebSocket
    nmq_mount *mount;     // receive side; NULL: none
    nmq_rate *rate;       // atomic, set once; NULL: as fast as it likes
    uint32_t held_in;     // atomic: what `in` holds
    uint32_t in_cap_next; // receive side: how large the next buffer shall be
    enum nmq_conn_state state; // receive side
    uint32_t users_version;    // receive side: when it said who it is
    nmq_alias_names aliases;   // receive side
    nmq_client *client;        // set by the receive side with link.lock; a reference
    nmq_acl_view *acl;         // receive side; NULL: everything is allowed
    uint64_t acl_version;      // receive side: of the rules that `acl` is for
    nmq_origin *origin;        // receive side; a reference; NULL: nothing retained yet
    nmq_outbox sending;        // send side
    nmq_job job;               // goes on with what `job_does` says, and holds a reference
    uint8_t job_does;          // link.lock: enum nmq_conn_job; 0: it is not posted
    bool is_sending;           // link.lock
    bool closing;              // link.lock: close once all is sent
    bool lingers;              // link.lock: it is to linger; see conn_linger.h
    bool finished;             // link.lock: it lingers, and all is sent
    int64_t over_ms;           // link.lock: once it ends, when it is closed at the latest
    bool waits_for_itself; // atomic, written with link.lock: its answers are to go first
    bool is_held;          // atomic: it waits for another link, or is about to
    bool asking;           // link.lock: a question is out
    bool answered;         // receive side: an answer is to be handled
    bool proxy_due;        // receive side: a PROXY header comes first
    bool left;             // receive side: counts no more against bounds
    nmq_auth *auth;        // receive side; NULL: never asked, or answered for good
    uint32_t packet_max;   // receive side: the client's Maximum Packet Size
    nmq_told told;         // receive side
    bool problem_info;     // receive side: Request Problem Information
    bool send_will;        // receive side: at the end
    nmq_fault end; // link.lock: why it ends, the first reason; zeroed: the peer left
    const nmq_connect *connecting; // receive side: the CONNECT that is handled; borrowed
    bool acked;                    // receive side: this batch acknowledged something
    bool unread;                   // receive side: packets that have come wait in `in`
    uint8_t version;               // atomic; 0 before CONNECT
    uint32_t quiet_reads;          // receive side: reads in a row that used little
    int64_t idle_ms;               // atomic: longest silence, 0: any
    int64_t last_packet_ms;        // atomic: or when more of one came
    uint64_t retry_acks;           // clock: in-flight head at the last retry
    nmq_timer timer;               // clock
    int64_t short_ms; // receive side: since when it waits for memory; 0: it does not
};

// What a job of a connection goes on with.
enum nmq_conn_job {
    NMQ_CONN_JOB_PACKETS = 1, // that have come and were not handled yet
    NMQ_CONN_JOB_SEND = 2,    // what its session has for it
};

// With what the sessions use, which is the broker's and outlives it.
void nmq_conns_init(nmq_conns *conns, nmq_sessions *sessions, uint8_t *memory);

// Disconnects those that came through the listener of that number.
void nmq_conns_disconnect(nmq_conns *conns, uint32_t listener, uint8_t reason_code);

// The options have changed: timers that depend on them are looked at again.
void nmq_conns_look_again(nmq_conns *conns);

// Takes the text, which was allocated; at NULL: none.
void nmq_conns_set_response_information(nmq_conns *conns, nmq_bytes text);

// Copies it for the caller, who frees it; at NULL when there is none or memory is out.
nmq_bytes nmq_conns_response_information(nmq_conns *conns);

// Whose streams those of that listener are: what an acceptor is given.
nmq_accept nmq_conns_accept(nmq_listener *listener);

// Tells every client the reason, sends what waits, and returns when all connections are
// freed or at timeout_ms; then it closes what is left.
void nmq_conns_close_all(nmq_conns *conns, uint8_t reason_code, uint32_t timeout_ms);
void nmq_conns_fini(nmq_conns *conns);

// One of them has its client now, or goes without.
void nmq_conns_know(nmq_conns *conns);

// References to all connections; the caller unrefs each and frees the array. NULL when
// memory is out or there is none.
nmq_conn **nmq_conns_all(nmq_conns *conns, size_t *count);

// Answers the question that a connection asked. NMQ_OK or NMQ_ENOENT.
int nmq_conns_answer(nmq_conns *conns, const nmq_answer *answer);

// --- between the files of net/

enum {
    NMQ_CONN_IN_MIN = 256,       // bytes of buffer that an idle connection holds
    NMQ_CONN_WILL_MAX = 1 << 18, // bytes of a CONNECT that are its will
    NMQ_CONN_SMALL = 128,        // bytes of a packet that no bound is below
};

nmq_conn *nmq_conn_of(nmq_link *link);
// The connection is over: nobody finds it any more, and another may come. Receive side.
void nmq_conn_forget(nmq_conn *conn);
nmq_bytes nmq_conn_key(const nmq_conn *conn);      // under which by_number holds it
nmq_peer_text nmq_conn_name(const nmq_conn *conn); // its peer, for log lines
uint8_t nmq_conn_version(const nmq_conn *conn);    // 0 before CONNECT; thread-safe

// conn_timers.c. Arms one of the connection's timers, or moves it; cancels it. Both keep
// the timer's reference in step.
void nmq_conn_arm(nmq_conn *conn, nmq_timer *timer, int64_t due_ms);
void nmq_conn_cancel(nmq_conn *conn, nmq_timer *timer);
void nmq_conn_fire_timer(nmq_timer *timer); // of conn.timer
void nmq_conn_fire_hold(nmq_timer *timer);  // of link.wait

// conn_send.c. Starts the send side if it rests. `from_batch`: the link leaves that batch's
// list, and so may enter another; nobody else may say so.
void nmq_conn_start_sending(nmq_conn *conn, bool from_batch);
void nmq_conn_on_sent(void *arg, int status, size_t count);    // nmq_stream_sent
void nmq_conn_flush(nmq_link *link);                           // nmq_link_ops
void nmq_conn_disconnect(nmq_link *link, uint8_t reason_code); // nmq_link_ops

// conn_job.c. Has a thread go on with it, after what else waits.
void nmq_conn_post_job(nmq_conn *conn, enum nmq_conn_job what);

// conn_job.c. A client that does not read the answers to its own packets is not read
// either. Whether it is to wait until they have gone. Receive side; when it returns true,
// it may already be another thread's.
bool nmq_conn_wait_for_itself(nmq_conn *conn, int64_t now_ms);

// conn_job.c. Reads on if its answers have gone, or if `always`. Call without a lock.
void nmq_conn_answered_all(nmq_conn *conn, bool always);

// conn_job.c. The timer of link.wait is due: closes a client that takes nothing of them.
// Returns whether to look again.
bool nmq_conn_look_at_answers(nmq_conn *conn, int64_t now_ms);

// conn_log.c. Keeps why the connection will end, for the log; the first reason counts. Call
// nmq_conn_note_end with link.lock, nmq_conn_set_end without.
void nmq_conn_note_end(nmq_conn *conn, nmq_fault why);
void nmq_conn_set_end(nmq_conn *conn, nmq_fault why);

// conn.c. The end of the receive side; `lost` when the peer is gone and what waits has no
// receiver.
void nmq_conn_end(nmq_conn *conn, bool lost);

// conn.c. Call on the receive side; it may be another thread's when they return.
void nmq_conn_post_recv(nmq_conn *conn);
void nmq_conn_process(nmq_conn *conn, nmq_worker *worker);
void nmq_conn_on_recv(void *arg, nmq_worker *worker, int status,
                      size_t count);  // nmq_stream_received
void nmq_conn_resume(nmq_link *link); // nmq_link_ops

// What the receive side does next.
enum nmq_next {
    NMQ_NEXT_PACKET, // the packet is handled
    NMQ_NEXT_PAUSE,  // the packet is handled; the client is over its rate
    NMQ_NEXT_YIELD,  // the packet is handled; others have their turn before the next
    NMQ_NEXT_SHORT,  // memory is short: the packet is tried again after a while
    NMQ_NEXT_WAIT,   // the packet is handled; a question is to be posted, and no reading on
    NMQ_NEXT_END,    // the connection is to close; what is in the outbox is still sent
};

// intake.c. Turns what came in into MQTT: in.at up to plain. Returns NMQ_NEXT_END when
// nothing can follow that.
enum nmq_next nmq_conn_intake(nmq_conn *conn, nmq_batch *batch);

// intake.c. Whether a packet of that size may come now; counted if not.
bool nmq_conn_takes_size(const nmq_conn *conn, size_t size);

// intake.c. Whether the send side has something besides the outbox. Call with link.lock.
bool nmq_conn_has_reply(const nmq_conn *conn);

// intake.c. Of what goes before the load, what is not sent yet. Send side.
nmq_bytes nmq_conn_prefix(const nmq_conn *conn);
size_t nmq_conn_advance_prefix(nmq_conn *conn, size_t count); // how much of count was its

// intake.c. Makes the prefix of the next load: the answer to an upgrade or a ping, and a
// close frame when nothing is to follow (`last`). Call with link.lock. Returns NMQ_OK or
// NMQ_ENOMEM.
int nmq_conn_wrap(nmq_conn *conn, bool last);

// rate.c. Whether clients have a rate.
bool nmq_conns_have_rate(const nmq_conns *conns);

// rate.c. Whether the client may go on after that packet; else nmq_conn_wait_rate stops
// reading until it may. Receive side.
bool nmq_conn_pay(nmq_conn *conn, size_t bytes, bool message, int64_t now_ms);
bool nmq_conn_wait_rate(nmq_conn *conn, int64_t now_ms);
void nmq_conn_hurry(nmq_conn *conn); // ends the wait: the connection closes
void nmq_conn_fire_rate(nmq_timer *timer);

// memory.c. Looks how much memory is taken, and sets the router's level.
void nmq_conns_look(nmq_conns *conns);

// memory.c. The same if it is time for it; far over the bound it cuts the connection that
// holds the most by its own doing. Call without a lock or a lane.
void nmq_conns_relieve(nmq_conns *conns);

// memory.c. The receive side rests until there is memory; after the time that publishers
// wait for a slow subscriber the connection is closed.
void nmq_conn_wait_memory(nmq_conn *conn);

// memory.c. Who holds which memory; see nmq.h.
void nmq_conns_memory(nmq_conns *conns, nmq_memory *out);
void nmq_conns_fire_short(nmq_timer *timer); // of short_timer

// Handles one decoded packet; a connection that is to close has said so to its peer.
enum nmq_next nmq_conn_handle(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);

// Ends the connection for a fault of its peer: CONNACK or DISCONNECT where the version has
// one to say it with [MQTT-4.13.2-1]. Returns NMQ_NEXT_END.
enum nmq_next nmq_conn_refuse(nmq_conn *conn, nmq_batch *batch, nmq_fault fault);

// Appends bytes to the connection's own outbox. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_put(nmq_conn *conn, nmq_batch *batch, nmq_bytes bytes);

// From the next packet on, a silence of idle_ms (0: any) closes the connection.
void nmq_conn_set_idle(nmq_conn *conn, int64_t idle_ms);

// The handlers of packets that have a file of their own.
enum nmq_next nmq_conn_handle_connect(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_conn_handle_auth(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_conn_handle_publish(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_conn_handle_subscribe(nmq_conn *conn, nmq_batch *batch,
                                        nmq_packet *packet);
enum nmq_next nmq_conn_handle_unsubscribe(nmq_conn *conn, nmq_batch *batch,
                                          nmq_packet *packet);

// connect.c. Returns what refuses a CONNECT that no user could be allowed; code 0: nothing.
nmq_fault nmq_conn_check_connect(const nmq_conn *conn, const nmq_packet *packet);

// admit.c. Lets the client of that CONNECT in.
enum nmq_next nmq_conn_admit(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet);

// Sets what holds for the connection to what the options say now.
void nmq_conn_tell(nmq_conn *conn);

// Sets the longest silence to what the client's Keep Alive says.
void nmq_conn_keep_alive(nmq_conn *conn);

// mount.c. Appends a mount point with these names in place of its marks. Returns NMQ_OK,
// NMQ_ENOMEM, or NMQ_ETOPIC for a name in it that is empty or has "/", "+" or "#", or a
// mount point that begins with "$".
int nmq_mount_prefix(nmq_buf *to, nmq_bytes mount, nmq_bytes client_id,
                     nmq_bytes user_name);

// mount.c. Makes the listener's mount point for that client. Returns as nmq_mount_prefix.
int nmq_conn_mount(nmq_conn *conn, nmq_bytes client_id, nmq_bytes user_name);
void nmq_conn_unmount(nmq_conn *conn);

// mount.c. Its client has left: a session that stays goes below the mount point that the
// listener has now.
void nmq_conn_leave_mount(nmq_conn *conn);

nmq_bytes nmq_conn_mount_prefix(const nmq_conn *conn); // at NULL: none

// The Topic Name, or the filter of a subscription, as the broker knows it; valid until the
// next call. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOPIC when it is too long then.
int nmq_conn_mounted(nmq_conn *conn, nmq_bytes topic_name, nmq_bytes *out);
int nmq_conn_mounted_filter(nmq_conn *conn, const nmq_filter *filter, nmq_filter *out);

// access.c. Who the client is: as it says, or as it proved to be; at NULL: nobody, as with
// an empty name.
nmq_bytes nmq_conn_user_name(const nmq_conn *conn, const nmq_connect *connect);

// access.c. What stands behind that name.
uint8_t nmq_conn_proof(const nmq_conn *conn); // enum nmq_proof

// access.c. Whether some users may not come in any more since the client said who it is,
// and it may be one. Those who were in were looked at meanwhile, perhaps before it was.
bool nmq_conn_users_changed(const nmq_conn *conn, uint8_t proof);

// access.c. Looks up the rules for that client, before it is in.
// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_know(nmq_conn *conn, nmq_bytes client_id, nmq_bytes user_name);

// Whether the client may do that with the Topic Name, or the Topic Filter without its
// group.
bool nmq_conn_may(nmq_conn *conn, enum nmq_acl_action action, nmq_bytes topic);

// Whether a client that may not is to be disconnected.
bool nmq_conn_deny_disconnects(const nmq_conn *conn);

void nmq_conn_forget_rules(nmq_conn *conn); // frees what nmq_conn_know made

// access.c. Whether the rules have changed since the client's were looked up last.
bool nmq_conn_rules_changed(const nmq_conn *conn);

// access.c. Who publishes, for a retained message of that client. Borrowed from the
// connection; NULL when memory is out.
nmq_origin *nmq_conn_origin(nmq_conn *conn, nmq_bytes client_id, nmq_bytes user_name);

// auth.c. Makes a question of a CONNECT or an AUTH, unless its Authentication Data are too
// long; nmq_conn_post_question puts it to Python, as the last thing the receive side does.
enum nmq_next nmq_conn_ask(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet);
void nmq_conn_post_question(nmq_conn *conn);

// auth.c. The client has proved to be that user. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_prove(nmq_conn *conn, nmq_bytes user_name);

// Copies the answer, before the connection goes on with nmq_conn_handle_answer.
void nmq_conn_take_answer(nmq_conn *conn, const nmq_answer *answer);
enum nmq_next nmq_conn_handle_answer(nmq_conn *conn, nmq_batch *batch);

// auth.c. The connection is over: Python forgets the exchange that it keeps for it.
void nmq_conn_end_exchange(nmq_conn *conn);

void nmq_auth_properties(const nmq_auth *auth, nmq_props *props);
void nmq_auth_free(nmq_auth *auth); // takes NULL

// handle.c. The largest packet that may go to the client.
uint32_t nmq_conn_packet_max(const nmq_conn *conn);

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

// publish.c. The properties that travel with a message: all but those that belong to one
// hop. They are borrowed where the block can be used as it is, else copied to *scratch,
// which the caller frees. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_conn_forwarded(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out);

// When a message with these properties expires; 0: never.
int64_t nmq_conn_expires_at(const nmq_props *props, int64_t now_ms);
