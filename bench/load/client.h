// client.h - one MQTT 3.1.1 client of the load generator: a socket, TLS or WebSocket on it,
// packets out and in.
//
//     open ──CONNECT──> CONNACK ──> packets        all without blocking, but for the
//                                                  handshakes of TLS and WebSocket
//
// Threads  one. It must cost less than what it measures, so a fault ends the program.
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    unsigned port, pid; // of the broker
    const char *mode, *layout, *transport;
    unsigned qos, publishers, subscribers, messages, bytes, window;
    unsigned rate;    // messages a second of one publisher, 0: as fast as they are taken
    unsigned hold_ms; // mode hold: how long before it measures
    unsigned give_up_ms;
    unsigned clean; // of mode flow: 0: its sessions are kept
} options;

extern options opt;

typedef struct client client;

// A packet came in: the first byte of the header, the body and its length.
typedef void on_packet(client *c, uint8_t head, const uint8_t *body, size_t len);

struct client {
    int fd; // -1: not open
    SSL *tls;
    on_packet *packet;
    bool is_ws;
    bool wants_out;
    bool clean; // Clean Session
    char role;  // in its Client Identifier
    unsigned index;
    unsigned step;    // of its mode
    unsigned sent;    // PUBLISH
    unsigned settled; // acknowledged
    unsigned heard;   // PUBLISH
    uint64_t due_ns;  // when it publishes next
    size_t in_len, in_cap, raw_len;
    size_t out_len, out_cap;
    uint8_t *in; // MQTT, then raw_len bytes of WebSocket
    uint8_t *out;
};

enum { PUBLISH = 3, PUBACK = 4, PUBREC = 5, PUBREL = 6, PUBCOMP = 7, SUBACK = 9 };
enum { CONNACK = 2 };

uint64_t now_ns(void);

// Connects and puts CONNECT with Keep Alive 0; packets come from client_poll.
void client_open(client *c);
void client_close(client *c); // its buffers too

void client_put_subscribe(client *c, const char *topic_filter);
void client_put_publish(client *c, const char *topic, bool retain);
void client_put_ack(client *c, unsigned type, const uint8_t id[2]);
void client_put_disconnect(client *c);

// Sends what was put, as far as the socket takes it.
void client_flush(client *c);

// Answers a PUBLISH as its QoS asks. Returns its payload.
const uint8_t *client_take_publish(client *c, uint8_t head, const uint8_t *body);

// Waits until something happens or timeout_ns is over, and handles it.
void client_poll(uint64_t timeout_ns);

// What a payload begins with.
typedef struct {
    uint64_t sent_ns;
    uint32_t publisher;
    uint32_t number;
} stamp;
