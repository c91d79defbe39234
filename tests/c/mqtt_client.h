// mqtt_client.h - the MQTT client role, for tests: it dials another broker, connects,
// subscribes, publishes, receives, and says what happened.
//
//     test_client_new ──dial──> CONNECTED ──subscribe, publish──> SUBSCRIBED, MESSAGE ...
//     next <── what happened, in order; wait_fd is readable while there is something
//
// cffi reads this file: no macros here.
//
// Owner    the client is the caller's; it uses the clock and the memory of the broker that
// it
//          is of, and is closed before that is freed.
// Threads  thread-safe, but for one who reads what happened.
#pragma once
#include "nmq.h"

typedef struct test_client test_client;

typedef struct {
    const char *host; // as nmq_dial_options
    uint16_t port;
    const nmq_tls *tls;
    const char *path;
    uint32_t timeout_ms;
    uint8_t version; // 4 or 5
    bool clean_start;
    const char *client_id;
    const char *user_name; // NULL: none
    const char *password;  // NULL: none
    uint16_t keep_alive_s; // 0: none
} test_client_options;

enum test_note_kind {
    TEST_CONNECTED = 1, // number: session present
    TEST_REFUSED,       // number: the Reason Code of CONNACK
    TEST_FAILED,        // to dial. number: nmq_status; id: HTTP status; text: why
    TEST_SUBSCRIBED,    // id; number: the first Reason Code
    TEST_UNSUBSCRIBED,  // id
    TEST_MESSAGE,       // id, number: QoS + 4 for RETAIN, text: its topic, payload
    TEST_ACKED,         // id; number: the Reason Code of PUBACK, PUBREC or PUBCOMP
    TEST_PONG,
    TEST_CLOSED, // number: the Reason Code of DISCONNECT, or of what was wrong
};

typedef struct {
    uint8_t kind;
    int number;
    uint16_t id;
    char text[512];
    size_t payload_len;
    uint8_t payload[1024]; // its beginning
} test_note;

// Makes a client that is not connected. Returns NULL when memory is out.
test_client *test_client_new(nmq_broker *broker);

// Begins to dial. Returns what nmq_dial_new does.
int test_client_dial(test_client *client, const test_client_options *options);
void test_client_cancel(test_client *client); // the dial

// Each returns NMQ_OK, or NMQ_ECLOSED when there is no connection.
int test_client_subscribe(test_client *client, uint16_t id, const char *filter,
                          uint8_t options);
int test_client_unsubscribe(test_client *client, uint16_t id, const char *filter);
int test_client_publish(test_client *client, uint16_t id, const char *topic,
                        const char *payload, size_t len, uint8_t qos, bool retain);
int test_client_ping(test_client *client);
int test_client_disconnect(test_client *client, uint8_t reason_code);

int test_client_wait_fd(const test_client *client);
bool test_client_next(test_client *client, test_note *out);

// Ends its connection, if it has one, and waits until that is freed. Then the broker may be
// freed, and then this.
void test_client_close(test_client *client);
void test_client_free(test_client *client);

// Bytes and allocations that are alive, for tests that nothing leaks; 0: not counted.
long test_client_live(void);
