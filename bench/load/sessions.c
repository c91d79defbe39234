// sessions.c - modes hold, churn and offline: what clients cost that come and go.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "modes.h"

enum { AT_ONCE = 500, SECOND_NS = 1000000000, OFFLINE_TOPICS = 10 };

static unsigned ready; // CONNACK, or the end of what the client was to do
static unsigned under_way;
static client *clients;

static void
open_client(client *c, unsigned index, char role, bool clean, on_packet *packet)
{
    *c = (client){.role = role, .index = index, .clean = clean, .packet = packet};
    client_open(c);
}

// --- hold

static void
hold_packet(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    (void) c;
    (void) body;
    (void) len;
    ready += head >> 4 == CONNACK;
}

static void
open_many(unsigned count, char role, bool clean, on_packet *packet)
{
    ready = 0;
    for (unsigned i = 0; i < count; i++) {
        open_client(&clients[i], i, role, clean, packet);
        while (ready + AT_ONCE <= i) {
            client_poll(SECOND_NS);
        }
    }
    while (ready < count) {
        client_poll(SECOND_NS);
    }
}

int
mode_hold(void)
{
    unsigned count = opt.subscribers;

    clients = calloc(count, sizeof *clients);
    long before = measure_memory_kib("VmRSS");
    moment from = measure_now();
    open_many(count, 'h', true, hold_packet);
    moment to = measure_now();
    for (uint64_t end = now_ns() + (uint64_t) opt.hold_ms * 1000000; now_ns() < end;) {
        client_poll(end - now_ns());
    }
    long after = measure_memory_kib("VmRSS");
    printf("{\"connections\":%u,\"per_s\":%.0f,\"cpu_us\":%.2f,\"bytes_each\":%.0f,"
           "\"idle_mib\":%.1f}\n",
           count, count / (to.wall_s - from.wall_s), (to.cpu_s - from.cpu_s) * 1e6 / count,
           (double) (after - before) * 1024 / count, (double) before / 1024);
    (void) fflush(stdout);
    (void) getchar(); // who started it closes its input when the connections may go
    return 0;
}

// --- churn

static void
churn_packet(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    char topic[32];

    (void) len;
    (void) snprintf(topic, sizeof topic, "churn/%u", c->index);
    switch (head >> 4) {
    case CONNACK: client_put_subscribe(c, topic); break;
    case SUBACK: client_put_publish(c, topic, false); break;
    case PUBLISH: (void) client_take_publish(c, head, body); break;
    default: break;
    }
    if (c->heard == 1 && (opt.qos == 0 || c->settled == 1)) {
        client_put_disconnect(c);
        client_flush(c);
        client_close(c);
        ready++;
        under_way--;
    }
}

int
mode_churn(void)
{
    enum { SIDE_BY_SIDE = 50 };
    unsigned begun = 0;

    clients = calloc(opt.messages, sizeof *clients);
    moment from = measure_now();
    while (ready < opt.messages) {
        for (; begun < opt.messages && under_way < SIDE_BY_SIDE; begun++, under_way++) {
            open_client(&clients[begun], begun, 'c', true, churn_packet);
        }
        client_poll(SECOND_NS);
    }
    moment to = measure_now();
    printf("{\"delivered\":%u,\"lost\":0,\"per_s\":%.0f,\"cpu_us\":%.2f}\n", ready,
           ready / (to.wall_s - from.wall_s), (to.cpu_s - from.cpu_s) * 1e6 / ready);
    return 0;
}

// --- offline

static uint64_t delivered;

static void
keep_packet(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    char topic[32];

    (void) body;
    (void) len;
    if (head >> 4 == CONNACK) {
        (void) snprintf(topic, sizeof topic, "offline/%u", c->index % OFFLINE_TOPICS);
        client_put_subscribe(c, topic);
    } else if (head >> 4 == SUBACK) {
        client_put_disconnect(c);
        client_flush(c);
        client_close(c);
        ready++;
    }
}

static void
back_packet(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    (void) len;
    if (head >> 4 == PUBLISH) {
        (void) client_take_publish(c, head, body);
        delivered++;
    }
}

static void
open_publisher(client *pub)
{
    ready = 0;
    open_client(pub, 0, 'p', true, hold_packet);
    while (ready == 0) {
        client_poll(SECOND_NS);
    }
}

// Publishes opt.messages, the topics of the sessions in turn.
static void
queue_messages(client *pub)
{
    char topic[32];

    while (pub->settled < opt.messages) {
        while (pub->sent < opt.messages && pub->sent - pub->settled < opt.window) {
            (void) snprintf(topic, sizeof topic, "offline/%u", pub->sent % OFFLINE_TOPICS);
            client_put_publish(pub, topic, false);
        }
        client_flush(pub);
        client_poll(SECOND_NS);
    }
}

int
mode_offline(void)
{
    unsigned count = opt.subscribers;
    client pub;

    clients = calloc(count, sizeof *clients);
    open_many(count, 'o', false, keep_packet);
    open_publisher(&pub);
    moment from = measure_now();
    queue_messages(&pub);
    moment queued = measure_now();
    uint64_t expected = (uint64_t) opt.messages / OFFLINE_TOPICS * count, before = 0;
    for (unsigned i = 0; i < count; i++) {
        open_client(&clients[i], i, 'o', false, back_packet);
        client_poll(0);
    }
    for (uint64_t heard_ns = now_ns(); delivered < expected;) {
        client_poll(SECOND_NS / 100);
        heard_ns = delivered != before ? now_ns() : heard_ns;
        before = delivered;
        if (now_ns() - heard_ns > (uint64_t) opt.give_up_ms * 1000000) {
            break;
        }
    }
    moment to = measure_now();
    printf("{\"delivered\":%llu,\"lost\":%lld,\"per_s\":%.0f,\"cpu_us\":%.3f,"
           "\"queue_us\":%.3f,\"deliver_us\":%.3f}\n",
           (unsigned long long) delivered, (long long) (expected - delivered),
           (double) delivered / (to.wall_s - from.wall_s),
           (to.cpu_s - from.cpu_s) * 1e6 / (double) delivered,
           (queued.cpu_s - from.cpu_s) * 1e6 / (double) delivered,
           (to.cpu_s - queued.cpu_s) * 1e6 / (double) delivered);
    return delivered == expected ? 0 : 1;
}

// --- retained

static uint64_t payload_bytes;

static void
hash_packet(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    if (head >> 4 == CONNACK) {
        client_put_subscribe(c, "#");
    } else if (head >> 4 == PUBLISH) {
        (void) client_take_publish(c, head, body);
        delivered++;
        payload_bytes += len;
    }
}

static void
retain_messages(client *pub)
{
    char topic[64];

    while (pub->sent < opt.messages || pub->settled < (opt.qos > 0 ? opt.messages : 0)) {
        unsigned settled = opt.qos > 0 ? pub->settled : pub->sent;
        while (pub->sent < opt.messages && pub->sent - settled < opt.window) {
            (void) snprintf(topic, sizeof topic, "site/%u/device/%u/state", pub->sent % 100,
                            pub->sent);
            client_put_publish(pub, topic, true);
        }
        client_flush(pub);
        client_poll(opt.qos > 0 ? SECOND_NS : 0);
    }
}

int
mode_retained(void)
{
    client pub, sub;

    long idle = measure_memory_kib("VmRSS");
    open_publisher(&pub);
    moment begun = measure_now();
    retain_messages(&pub);
    moment from = measure_now();
    long filled = measure_memory_kib("VmRSS");
    measure_reset_peak();
    open_client(&sub, 0, 'r', true, hash_packet);
    for (uint64_t end = now_ns() + (uint64_t) opt.give_up_ms * 1000000;
         delivered < opt.messages && now_ns() < end;) {
        client_poll(SECOND_NS / 100);
    }
    moment to = measure_now();
    long peak = measure_memory_kib("VmHWM");
    printf("{\"delivered\":%llu,\"lost\":%lld,\"per_s\":%.0f,\"cpu_us\":%.3f,"
           "\"store_us\":%.3f,\"seconds\":%.3f,\"held_kib\":%ld,\"peak_ratio\":%.3f}\n",
           (unsigned long long) delivered, (long long) opt.messages - (long long) delivered,
           (double) delivered / (to.wall_s - from.wall_s),
           (to.cpu_s - from.cpu_s) * 1e6 / (double) delivered,
           (from.cpu_s - begun.cpu_s) * 1e6 / opt.messages, to.wall_s - from.wall_s,
           filled - idle, (double) (peak - idle) / (double) (filled - idle + 1));
    return delivered == opt.messages ? 0 : 1;
}
