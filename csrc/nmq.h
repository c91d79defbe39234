// nmq.h - all of the core that Python may call, with the headers that it includes. cffi
// reads them: no macros there. What the tables csrc/*.def declare, build_ext.py writes out
// for it.
//
//     io/engine.h, io/tls.h: nng, once, before anything else
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
#include "base/process.h"
#include "base/status.h"
#include "bridge/bridges.h"
#include "bridge/options.h"
#include "io/endpoint.h"
#include "io/engine.h"
#include "io/tls.h"
#include "net/durability_keys.h"
#include "net/listener_options.h"
#include "route/acl_rules.h"
#include "route/acl_ruling.h"
#include "route/acl_trial.h"
#include "route/ban_kind.h"
#include "route/consume.h"
#include "route/consumer_list.h"
#include "route/feed.h"
#include "route/kick.h"
#include "route/note_record.h"
#include "route/page.h"
#include "route/publication.h"
#include "route/query.h"
#include "serve/kept_row.h"
#include "serve/question.h"
#include "serve/question_note.h"
#include "store/meter.h"
#include "store/wal_look.h"
#include "store/wal_remake.h"

typedef struct nmq_broker nmq_broker;

// --- the broker. Its options: csrc/options.def

// Returns NMQ_OK, NMQ_EINVAL for an option out of its range, NMQ_ENOMEM or NMQ_EIO.
int nmq_broker_new(const nmq_options *options, nmq_broker **out);

// Puts these in force while the broker runs. What CONNACK tells a client holds for its
// connection: packet_max_bytes of a 5.0 client, receive_maximum, topic_alias_max,
// keep_alive_max_s, qos_max and what is available; so do send_topic_alias_max,
// keep_alive_permille, and expiry_max_s. The rest counts at once, for sessions that exist
// too: messages that wait stay when their bound becomes lower. A bound of one address
// counts connections that came while there was one. Returns NMQ_OK, or NMQ_EINVAL or
// NMQ_ENOMEM with the old ones in force.
int nmq_broker_set_options(nmq_broker *broker, const nmq_options *options);

// --- listeners

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

// New connections follow these options, but the endpoint stays as it is; connections that
// exist keep theirs. Returns NMQ_OK, NMQ_ENOENT, NMQ_EINVAL for a proxy_from that cannot be
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

// --- durability

// Before the first nmq_broker_accept: the broker becomes what the log in that folder says,
// and goes on logging. left: what nmq_broker_save wrote, which it becomes instead, unless
// there is no room for it; NULL: nothing. It may take seconds. Returns how many sessions
// there are now. Or nothing has happened: NMQ_ECLOSED: another process has the folder;
// NMQ_EACCESS, NMQ_ENOENT or NMQ_ENOSPC for the folder; NMQ_ECORRUPT, NMQ_ENEWER,
// NMQ_EMALFORMED or NMQ_EIO for what is in it, or in left; NMQ_ENOMEM.
int nmq_broker_durability_open(nmq_broker *broker, const nmq_durability_keys *keys,
                               const char *left, size_t left_len,
                               nmq_durability_found *found);

// Puts max_bytes, interval_ms, gather_ms, hold_ms and on_error in force while it runs.
// Returns NMQ_OK, or NMQ_ENOENT where nothing is logged.
int nmq_broker_durability_set(nmq_broker *broker, const nmq_durability_keys *keys);

// Returns NMQ_OK, or NMQ_ENOENT where nothing is logged.
int nmq_broker_durability_look(nmq_broker *broker, nmq_durability_state *out);

// After nmq_broker_shutdown: commits the rest. It waits for the disk. The folder is another
// process's from nmq_broker_free on.
void nmq_broker_durability_close(nmq_broker *broker);

// What was read of a log: the newest numbers, and records that did not fit what is there.
typedef struct {
    uint64_t messages;
    uint64_t origins;
    uint64_t sessions;
    uint64_t passed;
} nmq_log_taken;

// In place of nmq_broker_restore: takes over what is left of a log, and logs nothing. What
// a record that is lost had to say is passed over. Returns how many sessions, NMQ_ENOMEM or
// NMQ_EIO.
int nmq_broker_take_log(nmq_broker *broker, nmq_wal_look *look, nmq_log_taken *out);

// After nmq_broker_shutdown. Closes what is still open and frees everything. Takes NULL.
void nmq_broker_free(nmq_broker *broker);

// Routes one Application Message, as route/publish_own.h says. Returns how many sessions
// took it, NMQ_ETOPIC, NMQ_EMALFORMED for properties that are none or do not travel,
// NMQ_EINVAL for a QoS over 2, NMQ_ETOOBIG, NMQ_ENOMEM; NMQ_ENOSPC or NMQ_ESTORE for one
// that is to be kept and cannot be written.
int nmq_broker_publish(nmq_broker *broker, const nmq_publication *publication);

// Subscribes that client, as if it had sent SUBSCRIBE: its rules, bounds and mount point
// count, and retained messages are sent. options are those of 3.8.3.1; identifier 0: none.
// Waits while the session is moved or judged: not for an event loop. Returns the QoS that
// was granted, NMQ_ENOENT for no such client, NMQ_EFILTER, NMQ_ETOPIC for a filter that is
// too long below the mount point, NMQ_EINVAL for options that no SUBSCRIBE has,
// NMQ_EACCESS, NMQ_ETOOBIG for one over its bounds, NMQ_ESHORT, NMQ_ENOMEM; NMQ_ENOSPC or
// NMQ_ESTORE for one that is to be kept and cannot be written.
int nmq_broker_subscribe(nmq_broker *broker, const char *client_id, size_t client_id_len,
                         const char *filter, size_t filter_len, uint8_t options,
                         uint32_t identifier);

// Ends a subscription of that client. Waits as nmq_broker_subscribe. Returns NMQ_OK,
// NMQ_ENOENT for no such client, NMQ_ECLOSED where it has no such subscription,
// NMQ_EFILTER, NMQ_ETOPIC or NMQ_ENOMEM.
int nmq_broker_unsubscribe(nmq_broker *broker, const char *client_id, size_t client_id_len,
                           const char *filter, size_t filter_len);

// Closes the client's connection with that Reason Code. Returns NMQ_OK, or NMQ_ENOENT when
// it is not connected.
int nmq_broker_kick(nmq_broker *broker, const char *client_id, size_t client_id_len,
                    uint8_t reason_code);

// Ends the session of that client, here or away, and closes its connection with that Reason
// Code; its will is sent. Returns NMQ_OK, or NMQ_ENOENT for no such client.
int nmq_broker_discard(nmq_broker *broker, const char *client_id, size_t client_id_len,
                       uint8_t reason_code);

// --- one connection: serve/steer.h. NMQ_ENOENT: the client is not connected.

// The client may be silent from now on as if its CONNECT had had that Keep Alive; 0: for
// ever. Returns NMQ_OK or NMQ_ENOENT.
int nmq_broker_set_keep_alive(nmq_broker *broker, const char *client_id,
                              size_t client_id_len, uint16_t keep_alive_s);

// What the client may send a second from now on: messages and bytes, 0: no bound, negative:
// what the options say. Returns NMQ_OK, NMQ_EINVAL for one over 2^32 - 1, or NMQ_ENOENT.
int nmq_broker_set_rates(nmq_broker *broker, const char *client_id, size_t client_id_len,
                         int64_t messages, int64_t bytes);

// Fills in what is kept of answers about its topics: rows has room for NMQ_KEPT_ROWS.
// Returns how many, or NMQ_ENOENT.
int nmq_broker_kept_answers(nmq_broker *broker, const char *client_id, size_t client_id_len,
                            nmq_kept_row *rows);

// Forgets them. client_id NULL: of all clients; blocks as long as that takes: not for an
// event loop. Returns NMQ_OK or NMQ_ENOENT.
int nmq_broker_forget_answers(nmq_broker *broker, const char *client_id,
                              size_t client_id_len);

// Says what decides whether that client may do that: route/may.h. Returns NMQ_OK,
// NMQ_ETOPIC, NMQ_EFILTER, NMQ_EACCESS or NMQ_ENOMEM.
int nmq_broker_may(nmq_broker *broker, const nmq_acl_trial *trial, bool mounted,
                   nmq_acl_ruling *out, size_t *mount_len);

// --- questions

// Returns NMQ_OK, or NMQ_ENOENT when nobody waits under that number any more.
int nmq_broker_answer(nmq_broker *broker, const nmq_answer *answer);

// The same for NMQ_NOTE_ACCESS.
int nmq_broker_decide(nmq_broker *broker, const nmq_verdicts *verdicts);

// --- access rules: route/acl_rules.h

// Puts these rules in force at once, for clients that are connected too, and takes the
// reference; NULL: everything is allowed. What is there already and no longer
// allowed ends with nmq_broker_judge, or when its client connects again.
void nmq_broker_set_acl(nmq_broker *broker, nmq_acl *acl);

// Ends what the rules in force do not allow any more: subscriptions, messages that wait for
// a session, wills. Goes through all sessions, of clients that are away too, one after the
// other, and no lock is held for more than a few subscriptions or messages of one. Blocks
// as long as that takes: not for an event loop. A retained message whose publisher may not
// publish it any more stays, and is not sent.
// Returns how many subscriptions ended, or NMQ_ENOMEM with the rest judged when their
// clients connect again.
int nmq_broker_judge(nmq_broker *broker);

// Disconnects the clients of those users, one after the other. Their sessions stay. Blocks
// as long as that takes. Returns how many, or NMQ_ENOMEM with nobody disconnected.
int nmq_broker_kick_users(nmq_broker *broker, const nmq_kick *whom);

// --- bans

// Refuses that client identifier, user name or network (ADDRESS/BITS) from now on, until
// that time in milliseconds since 1970; 0: for ever. Who is connected stays:
// nmq_broker_kick_banned. Returns NMQ_OK, NMQ_EINVAL for no kind or nobody, NMQ_EADDR for
// what is no network, or NMQ_ENOMEM.
int nmq_broker_ban(nmq_broker *broker, enum nmq_ban_kind kind, const char *who,
                   size_t who_len, int64_t until_ms);

// Takes a ban back; those that are over are only forgotten so. Returns NMQ_OK, or
// NMQ_ENOENT.
int nmq_broker_unban(nmq_broker *broker, enum nmq_ban_kind kind, const char *who,
                     size_t who_len);

// Disconnects clients that are banned, with Administrative action (0x98), and drops their
// wills: the client of that identifier, or, with NULL, all, one after the other. The latter
// blocks as long as that takes: not for an event loop. Returns how many, or NMQ_ENOMEM.
int nmq_broker_kick_banned(nmq_broker *broker, const char *client_id, size_t client_id_len);

// --- taps, consumers, events and notes

// Copies messages that match the filter to a feed from now on. Returns NMQ_OK, NMQ_EFILTER,
// NMQ_EINVAL for a QoS over 2, NMQ_ENOMEM or NMQ_EIO. *number identifies the tap; *feed is
// a reference of the caller's, who takes chunks of nmq_feed_message from it.
int nmq_broker_tap_open(nmq_broker *broker, const char *filter, size_t filter_len,
                        uint8_t qos, uint64_t *number, nmq_feed **feed);

// Takes the next retained messages, which come before all that is in the feed, in *out;
// NULL: none that far. Cost: a bounded part of a walk. Returns 1 while there may be more,
// 0, or NMQ_ENOENT.
int nmq_broker_tap_retained(nmq_broker *broker, uint64_t number, nmq_chunk **out);

// Takes the retained message of one topic, a chunk of one nmq_feed_message, in *out; NULL:
// there is none. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EIO.
int nmq_broker_retained_message(nmq_broker *broker, const char *topic_name,
                                size_t topic_len, nmq_chunk **out);

// Returns NMQ_OK or NMQ_ENOENT. What is in the feed can still be taken.
int nmq_broker_tap_close(nmq_broker *broker, uint64_t number);

// The consumers, the broker's: route/consume.h says what can be done with them.
nmq_consumers *nmq_broker_consumers(nmq_broker *broker);

// The bridges to other brokers, the broker's: bridge/bridges.h.
nmq_bridges *nmq_broker_bridges(nmq_broker *broker);

// Tells of these kinds of event from now on: a bit for each enum nmq_event_kind. *feed is a
// reference of the caller's, who takes chunks of nmq_feed_event from it. Returns NMQ_OK,
// NMQ_EINVAL, NMQ_ENOMEM or NMQ_EIO.
int nmq_broker_watch_open(nmq_broker *broker, uint32_t kinds, uint64_t *number,
                          nmq_feed **feed);

// Returns NMQ_OK or NMQ_ENOENT. What is in the feed can still be taken.
int nmq_broker_watch_close(nmq_broker *broker, uint64_t number);

// Readable while there are notes to take. The broker's: do not close it.
int nmq_broker_note_fd(nmq_broker *broker);

// Moves up to `most` records to notes, the oldest first; returns how many. The caller
// gives each back with nmq_broker_note_done.
size_t nmq_broker_notes(nmq_broker *broker, nmq_note *notes, size_t most);
void nmq_broker_note_done(nmq_note *note);

// --- topics whose messages are counted: route/meters.h

// Counts the messages of that Topic Name from now on. *out is a reference of the caller's,
// who gives it back with nmq_meter_unref. Returns NMQ_OK, NMQ_ETOPIC, NMQ_EINVAL for one
// that is counted, NMQ_ETOOBIG for the 513th, or NMQ_ENOMEM.
int nmq_broker_meter_open(nmq_broker *broker, const char *topic_name, size_t topic_len,
                          nmq_meter **out);

// Returns NMQ_OK or NMQ_ENOENT. What was counted can still be read.
int nmq_broker_meter_close(nmq_broker *broker, const char *topic_name, size_t topic_len);

// --- what there is

// What is counted and measured, as of now: csrc/metrics.def.
void nmq_broker_stats(nmq_broker *broker, nmq_stats *out);

// Who holds memory: csrc/metrics.def. Cheap: it visits no client.
void nmq_broker_memory(nmq_broker *broker, nmq_memory *out);

// A page of clients, sessions, subscriptions, routes or retained messages: route/query.h,
// route/page.h.
// Returns NMQ_OK, and nmq_page_free frees *out; NMQ_EINVAL for a query that is out of its
// range, NMQ_EFILTER or NMQ_ETOPIC or NMQ_EADDR for a part of its filter, or NMQ_ENOMEM.
// With a filter it looks at much: not for an event loop, unless for clients or sessions of
// one client_id.
int nmq_broker_query(nmq_broker *broker, const nmq_query *query, nmq_page **out);
