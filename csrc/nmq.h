// nmq.h - all of the core that Python may call. cffi reads this file: no macros here. What
// the tables csrc/*.def declare, build_ext.py writes out for it.
//
//     nmq_nng_bind, nmq_net_threads      once, before anything else
//     nmq_broker_new -> listen ... -> nmq_broker_shutdown -> nmq_broker_free
//
// Threads  every function is thread-safe and none needs the GIL; nmq_broker_free is the
//          last call on its broker. The core never calls into Python: it puts records on a
//          ring and makes a descriptor readable.
// Errors   functions that return int give 0 or a count, or a negative enum nmq_status
//          (base/status.h), whose text is nmq_status_text.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/event_kind.h"
#include "base/metrics.h"
#include "base/options.h"
#include "base/status.h" // cffi reads it too

typedef struct nmq_broker nmq_broker;
typedef struct nmq_snapshot nmq_snapshot;
typedef struct nmq_message nmq_message;
typedef struct nmq_tls nmq_tls;
typedef struct nmq_acl nmq_acl;

// --- nng, taken from pynng

// The nng functions that the core calls, by name: 0 <= index < nmq_nng_count().
size_t nmq_nng_count(void);
const char *nmq_nng_name(size_t index);

// Gives the function of that index. All must be bound before nmq_broker_new.
void nmq_nng_bind(size_t index, void *function);

// Sets how many threads read sockets, and how many task threads nng has for TLS, 2 to 256;
// nng's pollers and resolvers to one each. Before the first broker of the process; a later
// call has no effect.
void nmq_net_threads(uint32_t task_threads);

// Has TLS handshakes go one at a time: the Mbed TLS of pynng cannot do two at once. After
// the functions are bound, before anything else. Returns NMQ_OK, or NMQ_ENOENT where it
// cannot be done; then TLS 1.3 is spoken only where 1.2 is refused.
int nmq_nng_guard_tls(void);

// --- the broker. Its options: csrc/options.def

// Returns NMQ_OK, NMQ_EINVAL for an option out of its range, NMQ_ENOMEM or NMQ_EIO.
int nmq_broker_new(const nmq_options *options, nmq_broker **out);

// Puts these in force while the broker runs. What CONNACK tells a client holds for its
// connection: packet_max_bytes of a 5.0 client, receive_maximum, topic_alias_max,
// keep_alive_max_s, qos_max and what is available; so do send_topic_alias_max,
// keep_alive_permille, and expiry_max_s. The rest counts at once, for sessions that exist
// too: messages that wait stay when their bound sinks. A bound of one address counts
// connections that came while there was one. Returns NMQ_OK, or NMQ_EINVAL or NMQ_ENOMEM
// with the old ones in force.
int nmq_broker_set_options(nmq_broker *broker, const nmq_options *options);

// --- listeners

// How a listener speaks TLS. Texts are NUL-terminated PEM and are copied.
typedef struct {
    const char *cert;         // the chain, the broker's own first
    const char *key;          // its private key
    const char *key_password; // NULL: the key is not encrypted
    const char *ca;           // who stands for clients; NULL: nobody
    bool verify_peer;         // check the certificates of clients
    bool require_cert;        // and refuse those that have none
    uint8_t min_version;      // 12 or 13: TLS 1.2 or 1.3
    const uint16_t *ciphers;  // suites by their number (IANA's), the preferred first
    size_t cipher_count;      // 0: what Mbed TLS prefers
} nmq_tls_options;

// Whether cipher suites can be chosen here, and whether there is one of that number.
bool nmq_tls_takes_ciphers(void);
bool nmq_tls_has_cipher(uint16_t suite);

// Certificates and keys that TLS can use, made ready. Returns NMQ_OK, NMQ_ECRYPTO or
// NMQ_ENOMEM. Whoever uses them keeps them: free them at any time.
int nmq_tls_new(const nmq_tls_options *options, nmq_tls **out);
void nmq_tls_free(nmq_tls *tls); // takes NULL

// One place where clients come in. Texts are copied.
typedef struct {
    int fd;              // a bound socket, TCP or Unix; not used with TLS
    const nmq_tls *tls;  // NULL: no TLS
    const char *address; // ADDRESS:PORT with TLS, port 0 takes a free one
    const char *name;    // for log lines, its URL; NULL: none
    uint32_t key;        // which listener of the configuration it is, 0: none. Sessions
                         // follow it to another address and over a restart
    const char *path;    // of WebSocket upgrades, "*" any; NULL: MQTT without it
    const char *mount;   // goes before the topics of its clients, %c and %u in it
                         // stand for client identifier and user name; NULL: none
    uint32_t connections_max; // 0: no bound
    bool ask_auth;            // put every CONNECT to Python
    bool cn_as_user_name;     // a verified certificate's Common Name is the user, and
                              // needs no password
    bool proxy;               // connections begin with a PROXY header; not with TLS
    const char *proxy_from;   // who may send one: ADDRESS/BITS,ADDRESS/BITS; NULL: anybody
} nmq_listener_options;

// Listens, and takes the descriptor; connections wait until nmq_broker_accept. *number
// names the listener, from 1 on; *port gets the port in use, 0 where there is none. Returns
// NMQ_OK, NMQ_EADDRINUSE, NMQ_EADDR, NMQ_EACCESS, NMQ_EIO, NMQ_EINVAL for a proxy_from that
// cannot be read, or NMQ_ENOMEM.
int nmq_broker_listen(nmq_broker *broker, const nmq_listener_options *options,
                      uint32_t *number, uint32_t *port);

// Lets clients in; once for each listener. Returns NMQ_OK or NMQ_ENOENT.
int nmq_broker_accept(nmq_broker *broker, uint32_t number);

// Stops accepting; connections stay. Returns NMQ_OK or NMQ_ENOENT.
int nmq_broker_unlisten(nmq_broker *broker, uint32_t number);

// Tells the clients that came through it that Reason Code, and closes their connections.
void nmq_broker_disconnect(nmq_broker *broker, uint32_t number, uint8_t reason_code);

// New connections follow these, but for fd, tls and address, which stay; those that are
// there keep theirs. Returns NMQ_OK, NMQ_ENOENT, NMQ_EINVAL for a proxy_from that cannot be
// read, or NMQ_ENOMEM.
int nmq_broker_set_listener(nmq_broker *broker, uint32_t number,
                            const nmq_listener_options *options);

// The listener has another mount point: sessions that came through it go below that, with
// what they hold. Those whose client is away go now, one after the other; a client that is
// connected keeps its own until it connects again. Blocks as long as that takes: not for an
// event loop. Returns how many were moved, NMQ_ENOENT, or NMQ_ENOMEM with the rest left for
// their next connection.
int nmq_broker_remount(nmq_broker *broker, uint32_t number);

// New connections use these; those that are there keep theirs. Returns NMQ_OK, NMQ_ENOENT,
// NMQ_EINVAL for a listener without TLS, or NMQ_EIO with the old ones in use.
int nmq_broker_set_tls(nmq_broker *broker, uint32_t number, const nmq_tls *tls);

typedef struct {
    uint64_t open; // connections now
    uint64_t accepted;
    uint64_t refused; // by a bound
} nmq_listener_stats;

// Returns NMQ_OK or NMQ_ENOENT.
int nmq_broker_listener_stats(nmq_broker *broker, uint32_t number, nmq_listener_stats *out);

// Stops listening, tells every client Server shutting down (0x8B), sends what is queued for
// the connections and waits until they are closed, timeout_ms at most.
void nmq_broker_shutdown(nmq_broker *broker, uint32_t timeout_ms);

// After nmq_broker_shutdown: writes retained messages and kept sessions to the descriptor,
// for a process of this version on this machine. Returns how many sessions, NMQ_ENOMEM or
// NMQ_EIO.
int nmq_broker_save(nmq_broker *broker, int fd);

// Before the first nmq_broker_accept: takes over what nmq_broker_save wrote. Returns how
// many sessions, NMQ_EMALFORMED or NMQ_ENOMEM; what came before the fault stays.
int nmq_broker_restore(nmq_broker *broker, const char *bytes, size_t len);

// After nmq_broker_shutdown. Closes what is still open and frees everything. Takes NULL.
void nmq_broker_free(nmq_broker *broker);

// Routes one Application Message. Returns how many sessions took it, NMQ_ETOPIC, NMQ_EINVAL
// for a QoS over 2, NMQ_ETOOBIG or NMQ_ENOMEM.
int nmq_broker_publish(nmq_broker *broker, const char *topic_name, size_t topic_len,
                       const char *payload, size_t payload_len, uint8_t qos, bool retain);

// Closes the client's connection with that Reason Code. Returns NMQ_OK, or NMQ_ENOENT when
// it is not connected.
int nmq_broker_kick(nmq_broker *broker, const char *client_id, size_t client_id_len,
                    uint8_t reason_code);

// The answer to a question (NMQ_EVENT_AUTH).
typedef struct {
    uint64_t number;     // of the question
    uint8_t reason_code; // 0: let it in; 0x18: go on with AUTH; others refuse it
    const char *data;    // Authentication Data for the client; NULL: none
    size_t data_len;
    const char *user_name; // who it proved to be; NULL: as CONNECT says
    size_t user_name_len;
    bool foreign; // by a method with users of its own: nmq_broker_kick_users spares it
} nmq_answer;

// Returns NMQ_OK, or NMQ_ENOENT when nobody waits under that number any more.
int nmq_broker_answer(nmq_broker *broker, const nmq_answer *answer);

// --- access rules

// One rule. Texts are NUL-terminated and copied; NULL: any.
typedef struct {
    bool allow;
    bool publish; // applies to publishing
    bool subscribe;
    const char *client_id;
    const char *user_name;
    uint8_t address[16];       // of the client, in network order
    uint8_t address_len;       // 4, 16, or 0: any
    uint8_t prefix_bits;       // how many of its bits count
    const char *const *topics; // Topic Filters; levels %c and %u: client id, user name
    size_t topic_count;
} nmq_acl_rule;

typedef struct {
    const nmq_acl_rule *at; // in order: the first that applies decides
    size_t count;
    bool otherwise;        // what holds when none applies: true allows
    bool deny_disconnects; // a client that does what it may not is disconnected
} nmq_acl_rules;

// Copies the rules. Returns them with one reference, or NULL when memory is out.
nmq_acl *nmq_acl_new(const nmq_acl_rules *rules);
void nmq_acl_unref(nmq_acl *acl); // takes NULL

// Puts these rules in force at once, for clients that are connected too, and takes the
// reference; NULL: everything is allowed. What they end of what is there already ends with
// nmq_broker_judge, or when its client connects again.
void nmq_broker_set_acl(nmq_broker *broker, nmq_acl *acl);

// Ends what the rules in force do not allow any more: subscriptions, messages that wait for
// a session, wills. Goes through all sessions, of clients that are away too, one after the
// other, and no lock is held for more than a few subscriptions or messages of one. Blocks
// as long as that takes: not for an event loop. A retained message whose publisher may not
// publish it any more stays, and is not sent.
// Returns how many subscriptions ended, or NMQ_ENOMEM with the rest judged when their
// clients connect again.
int nmq_broker_judge(nmq_broker *broker);

// Whose connections end, because he may not come in any more. Those are not meant whom a
// certificate stands for, or a method with users of its own.
typedef struct {
    const char *const *user_names; // NUL-terminated
    size_t user_name_count;
    bool every_user;           // all that have a user name
    bool others;               // all that have another user name than those
    const uint32_t *listeners; // numbers: who came there without a user name; 0: before
    size_t listener_count;
    bool with_names; // and who came there with one
    bool wills;      // are sent; else they are dropped, those of clients that are away too
    uint8_t reason_code;
} nmq_kick;

// Disconnects them, one after the other. Their sessions stay. Blocks as long as that takes.
// Returns how many, or NMQ_ENOMEM with nobody disconnected.
int nmq_broker_kick_users(nmq_broker *broker, const nmq_kick *whom);

// --- taps and events

typedef struct {
    uint32_t kind; // enum nmq_event_kind: csrc/events.def says what the fields are
    int32_t code;
    uint64_t number;
    uint32_t text_len;
    char *text;           // not NUL-safe: text_len counts
    nmq_message *message; // NULL unless kind says so
} nmq_event;

typedef struct {
    const char *topic_name; // borrowed from the event
    size_t topic_len;
    const char *payload;
    size_t payload_len;
    uint8_t qos;
    bool retain; // as published
} nmq_message_view;

// What a client that asks to come in said of itself; slices borrow from the event.
typedef struct {
    uint32_t listener;   // number of the one that it came through
    const char *address; // where it is, as text; empty: on this machine (IPC)
    size_t address_len;
    const char *client_id;
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *password; // NULL: none
    size_t password_len;
    const char *method; // Authentication Method; NULL: none
    size_t method_len;
    const char *data; // Authentication Data, up to 1024 bytes; NULL: none
    size_t data_len;
} nmq_credentials;

// Copies messages that match the filter to the ring from now on, retained ones first.
// Returns NMQ_OK, NMQ_EFILTER, NMQ_EINVAL or NMQ_ENOMEM. *number identifies the tap.
int nmq_broker_tap_open(nmq_broker *broker, const char *filter, size_t filter_len,
                        uint8_t qos, uint64_t *number);

// Returns NMQ_OK or NMQ_ENOENT. Records that are on the ring already still come.
int nmq_broker_tap_close(nmq_broker *broker, uint64_t number);

// Readable while there are events to take. The broker's: do not close it.
int nmq_broker_event_fd(nmq_broker *broker);

// Moves up to `most` records to events, the oldest first; returns how many. The caller
// gives each back with nmq_broker_event_done.
size_t nmq_broker_events(nmq_broker *broker, nmq_event *events, size_t most);
void nmq_broker_event_done(nmq_event *event);

void nmq_event_message(const nmq_event *event, nmq_message_view *out); // NMQ_EVENT_MESSAGE
void nmq_event_auth(const nmq_event *event, nmq_credentials *out);     // NMQ_EVENT_AUTH

// --- snapshots

// What is counted and measured, as of now: csrc/metrics.def.
void nmq_broker_stats(nmq_broker *broker, nmq_stats *out);

// Who holds memory: csrc/metrics.def. It looks at each client and connection: for a call
// every few seconds.
void nmq_broker_memory(nmq_broker *broker, nmq_memory *out);

// Tells what the process takes besides what the cores hold (nmq_held_bytes); it counts
// against memory_max_bytes from now on. 0: nobody measures it.
void nmq_set_other_bytes(uint64_t bytes);

// Bytes that the process has allocated; 0 where the C library cannot tell. It looks at all
// of the heap: for a call every few seconds.
uint64_t nmq_heap_bytes(void);

// Bytes that the core holds in this process, over all brokers, with those that TLS is known
// to take. Cheap.
uint64_t nmq_held_bytes(void);

// Whether the process can have one more descriptor and `keep` more after it. Cheap.
bool nmq_has_descriptors(uint32_t keep);

// Gives memory that lies idle back to the system; milliseconds.
void nmq_trim_memory(void);

// How many heaps the C library may make for threads, 1 or more: few hold less idle memory.
// Before the first broker.
void nmq_set_arenas(uint32_t count);

// Whether the system may write this process's memory to a core file, and its user's other
// processes may read it. exec forgets it.
void nmq_set_dumpable(bool dumpable);

typedef struct {
    uint64_t number;
    const char *client_id; // texts are the snapshot's
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *peer; // address and port, NUL-terminated
    uint32_t first_subscription;
    uint32_t subscription_count;
    uint32_t expiry_interval_s; // 0xffffffff: never
    uint32_t queued;            // messages that wait
    uint32_t in_flight;
    uint16_t keep_alive_s;
    uint8_t version; // protocol level: 3, 4 or 5
    bool connected;
    bool clean_start;
    int64_t connected_at_ms;    // wall clock
    int64_t disconnected_at_ms; // wall clock, 0: never
    uint64_t messages_received; // PUBLISH packets from the client
    uint64_t messages_sent;     // PUBLISH packets delivered to it
    uint64_t messages_dropped;
} nmq_client_info;

typedef struct {
    const char *filter; // as subscribed
    size_t filter_len;
    uint32_t identifier; // 0: none
    uint8_t options;
} nmq_subscription_info;

// All clients in order of birth, and their subscriptions, as of one moment each. No lock is
// held for the whole of it. Returns NMQ_OK or NMQ_ENOMEM; free *out.
int nmq_snapshot_new(nmq_broker *broker, nmq_snapshot **out);
void nmq_snapshot_free(nmq_snapshot *snapshot); // takes NULL

// Arrays that live as long as the snapshot; *count gets their length.
const nmq_client_info *nmq_snapshot_clients(const nmq_snapshot *snapshot, size_t *count);
const nmq_subscription_info *nmq_snapshot_subscriptions(const nmq_snapshot *snapshot,
                                                        size_t *count);
