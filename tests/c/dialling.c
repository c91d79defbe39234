#include "dialling.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "broker.h"
#include "mqtt_client.h"
#include "nng_socket.h"

enum { DIALLERS = 6, ROUNDS = 12, MESSAGES = 60, WAIT_MS = 20000, PLACES = 5 };

static const nmq_options options = {
    .window = 20,
    .queue_max = 10000,
    .packet_max_bytes = 65536,
    .send_packet_max_bytes = 65536,
    .topic_levels_max = 10,
    .receive_maximum = 100,
    .qos_max = 2,
    .retain_available = true,
    .wildcards_available = true,
    .shared_available = true,
    .subscription_ids_available = true,
    .empty_client_ids = true,
    .outbox_max_bytes = 65536,
    .hold_ms = 5000,
    .connect_timeout_ms = 10000,
    .keep_alive_permille = 1500,
    .log_level = 40,
};

// Where the far broker is; the last one is nowhere.
static test_client_options places[PLACES];
static char path[64];

// --- the far broker

static int
bound(int family, const struct sockaddr *address, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0 && bind(fd, address, len) == 0);
    return fd;
}

static int
bound_port(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return bound(AF_INET, (const struct sockaddr *) &any, sizeof any);
}

static uint16_t
listen_here(nmq_broker *far, int fd, const char *ws)
{
    nmq_listener_options listener = {.endpoint = {.fd = fd}, .path = ws};
    uint32_t number, port;

    assert(nmq_broker_listen(far, &listener, &number, &port) == NMQ_OK);
    assert(nmq_broker_accept(far, number) == NMQ_OK);
    return (uint16_t) port;
}

static void
open_places(nmq_broker *far)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct sockaddr_in nowhere;
    socklen_t len = sizeof nowhere;

    (void) snprintf(path, sizeof path, "/tmp/nmq-dialling-%d", (int) getpid());
    (void) unlink(path);
    memcpy(at.sun_path, path, strlen(path) + 1);
    uint16_t tcp = listen_here(far, bound_port(), NULL);
    uint16_t ws = listen_here(far, bound_port(), "/mqtt");
    (void) listen_here(far, bound(AF_UNIX, (const struct sockaddr *) &at, sizeof at), NULL);
    int closed = bound_port();
    assert(getsockname(closed, (struct sockaddr *) &nowhere, &len) == 0);
    (void) close(closed);
    places[0] = (test_client_options){.host = "127.0.0.1", .port = tcp};
    places[1] = (test_client_options){.host = "127.0.0.1", .port = ws, .path = "/mqtt"};
    places[2] = (test_client_options){.host = path};
    places[3] = (test_client_options){.host = "localhost", .port = tcp};
    places[4] = (test_client_options){.host = "127.0.0.1", .port = ntohs(nowhere.sin_port)};
}

// --- clients

// Returns what happens next.
static test_note
next(test_client *c)
{
    struct pollfd wait = {.fd = test_client_wait_fd(c), .events = POLLIN};
    test_note note;

    while (!test_client_next(c, &note)) {
        assert(poll(&wait, 1, WAIT_MS) == 1);
    }
    return note;
}

static void
await(test_client *c, uint8_t kind)
{
    assert(next(c).kind == kind);
}

// Publishes to itself at every QoS. Everything comes once, and is acknowledged.
static void
talk(test_client *c, unsigned number)
{
    static const char payload[9000];
    unsigned heard = 0, acked = 0;
    char topic[32];

    (void) snprintf(topic, sizeof topic, "far/%u", number);
    assert(test_client_subscribe(c, 1, topic, 2) == NMQ_OK);
    await(c, TEST_SUBSCRIBED);
    for (unsigned n = 0; n < MESSAGES; n++) {
        size_t len = n % 8 == 0 ? sizeof payload : n;
        assert(test_client_publish(c, (uint16_t) (n + 2), topic, payload, len,
                                   (uint8_t) (n % 3), false) == NMQ_OK);
    }
    while (heard < MESSAGES || acked < MESSAGES - MESSAGES / 3) {
        test_note note = next(c);
        heard += note.kind == TEST_MESSAGE;
        acked += note.kind == TEST_ACKED && note.number == 0;
        assert(note.kind == TEST_MESSAGE || note.kind == TEST_ACKED);
    }
    assert(test_client_ping(c) == NMQ_OK);
    await(c, TEST_PONG);
    assert(heard == MESSAGES);
}

static void
come_and_go(test_client *c, unsigned number, unsigned *seed)
{
    unsigned which = (unsigned) rand_r(seed) % PLACES;
    test_client_options where = places[which];
    char id[16];

    (void) snprintf(id, sizeof id, "far%u", number);
    where.timeout_ms = WAIT_MS;
    where.version = rand_r(seed) % 2 ? 5 : 4;
    where.clean_start = true;
    where.client_id = id;
    where.keep_alive_s = 60;
    assert(test_client_dial(c, &where) == NMQ_OK);
    if (rand_r(seed) % 4 == 0) {
        test_client_cancel(c);
    }
    test_note note = next(c);
    if (note.kind == TEST_CONNECTED) {
        assert(which != PLACES - 1);
        talk(c, number);
        assert(test_client_disconnect(c, 0) == NMQ_OK);
        await(c, TEST_CLOSED);
    } else {
        assert(note.kind == TEST_FAILED &&
               (note.number == NMQ_ECLOSED || note.number == NMQ_EREFUSED));
    }
}

typedef struct {
    nmq_broker *home;
    unsigned number;
    test_client *client;
} dialler;

static void *
run(void *arg)
{
    dialler *d = arg;
    unsigned seed = d->number + 1;

    d->client = test_client_new(d->home);
    assert(d->client != NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        come_and_go(d->client, d->number, &seed);
    }
    // the last goes while it is connected, or dials
    test_client_options where = places[d->number % 4];
    where.timeout_ms = WAIT_MS;
    where.version = 5;
    where.client_id = "last";
    assert(test_client_dial(d->client, &where) == NMQ_OK);
    test_client_close(d->client);
    return NULL;
}

void
dialling_run(void)
{
    nmq_broker *far = NULL, *home = NULL;
    dialler all[DIALLERS];
    pthread_t threads[DIALLERS];

    nng_socket_bind();
    assert(nmq_broker_new(&options, &far) == NMQ_OK);
    assert(nmq_broker_new(&options, &home) == NMQ_OK);
    open_places(far);
    for (unsigned n = 0; n < DIALLERS; n++) {
        all[n] = (dialler){.home = home, .number = n};
        assert(pthread_create(&threads[n], NULL, run, &all[n]) == 0);
    }
    for (unsigned n = 0; n < DIALLERS; n++) {
        (void) pthread_join(threads[n], NULL);
    }
    nmq_broker_free(home);
    for (unsigned n = 0; n < DIALLERS; n++) {
        test_client_free(all[n].client);
    }
    nmq_broker_free(far);
    (void) unlink(path);
    for (int ms = 0; nmq_mem_live() != 0 && ms < WAIT_MS; ms++) {
        (void) usleep(1000); // whoever told of the end may still free
    }
    printf("dialling: %d rounds of %d clients; alive: %ld\n", ROUNDS, DIALLERS,
           nmq_mem_live());
}
