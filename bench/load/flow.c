// flow.c - mode flow: publishers to subscribers, as fast as they are taken or at a rate.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "modes.h"

enum { BURST = 32, OUT_HIGH = 1 << 16, WILD_FILTERS = 5 };

static client *subs, *pubs;
static unsigned ready;
static uint64_t delivered, disorder, heard_ns;
static uint32_t *next; // of a pair: the number that is due

static bool
is(const char *layout)
{
    return strcmp(opt.layout, layout) == 0;
}

// wild: every message meets one of the filters of one subscriber.
static void
topic_of(char *to, size_t size, const client *pub)
{
    if (is("wild")) {
        (void) snprintf(to, size, "site/%u/device/%u/temp", pub->index,
                        pub->sent % (opt.subscribers * WILD_FILTERS));
    } else if (is("fan")) {
        (void) snprintf(to, size, "bench/all");
    } else {
        (void) snprintf(to, size, "bench/%u", pub->index);
    }
}

static void
subscribe(client *sub)
{
    char filter[64];
    unsigned filters = is("wild") ? WILD_FILTERS : 1;

    for (unsigned i = 0; i < filters; i++) {
        if (is("wild")) {
            (void) snprintf(filter, sizeof filter, "site/+/device/%u/#",
                            sub->index * WILD_FILTERS + i);
        } else {
            topic_of(filter, sizeof filter, sub);
        }
        client_put_subscribe(sub, filter);
    }
    sub->step = filters;
}

static void
on_publish(client *sub, uint8_t head, const uint8_t *body)
{
    stamp s;

    memcpy(&s, client_take_publish(sub, head, body), sizeof s);
    heard_ns = now_ns();
    measure_latency(heard_ns - s.sent_ns);
    delivered++;
    if (is("pairs")) {
        disorder += s.number != next[sub->index];
        next[sub->index] = s.number + 1;
    }
}

static void
packet(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    (void) len;
    switch (head >> 4) {
    case CONNACK:
        if (c->role == 's') {
            subscribe(c);
        } else {
            ready++;
        }
        break;
    case SUBACK: ready += --c->step == 0; break;
    case PUBLISH: on_publish(c, head, body); break;
    default: break;
    }
}

static void
open_all(client *clients, unsigned count, char role)
{
    enum { AT_ONCE = 100 };
    unsigned before = ready;

    for (unsigned i = 0; i < count; i++) {
        clients[i] =
            (client){.role = role, .index = i, .clean = opt.clean != 0, .packet = packet};
        client_open(&clients[i]);
        while (ready - before + AT_ONCE <= i) {
            client_poll(1000000000);
        }
    }
    while (ready - before < count) {
        client_poll(1000000000);
    }
}

static bool
may_publish(const client *pub, uint64_t ns)
{
    return pub->sent < opt.messages && pub->out_len < OUT_HIGH + opt.bytes &&
           (opt.qos == 0 || pub->sent - pub->settled < opt.window) &&
           (opt.rate == 0 || pub->due_ns <= ns);
}

// Returns when it may publish again, as far as time decides; UINT64_MAX: it has nothing.
static uint64_t
publish_some(client *pub)
{
    char topic[64];
    uint64_t ns = now_ns();

    if (pub->wants_out) {
        return pub->sent < opt.messages ? ns + 1000000 : UINT64_MAX;
    }
    unsigned burst = 0;
    for (; burst < BURST && may_publish(pub, ns); burst++) {
        topic_of(topic, sizeof topic, pub);
        client_put_publish(pub, topic, false);
        pub->due_ns += opt.rate > 0 ? 1000000000u / opt.rate : 0;
    }
    if (burst > 0) {
        client_flush(pub);
    }
    if (pub->sent == opt.messages) {
        return UINT64_MAX;
    }
    return opt.rate > 0 ? pub->due_ns : may_publish(pub, ns) ? 0 : ns + 1000000;
}

// Runs until everything came, or nothing for a while.
static void
run(uint64_t expected)
{
    uint64_t begun = now_ns();

    heard_ns = begun;
    for (unsigned i = 0; i < opt.publishers; i++) { // spread over their interval
        pubs[i].due_ns =
            begun + (opt.rate > 0 ? 1000000000u / opt.rate * i / opt.publishers : 0);
    }
    for (bool more = true; more || delivered < expected;) {
        uint64_t due = UINT64_MAX;
        more = false;
        for (unsigned i = 0; i < opt.publishers; i++) {
            uint64_t at = publish_some(&pubs[i]);
            due = at < due ? at : due;
            more |= at != UINT64_MAX || (opt.qos > 0 && pubs[i].settled < pubs[i].sent);
        }
        uint64_t ns = now_ns();
        if (ns - heard_ns > (uint64_t) opt.give_up_ms * 1000000) {
            return;
        }
        uint64_t wait = due <= ns ? 0 : due - ns;
        client_poll(wait < 100000000 ? wait : 100000000);
    }
}

int
mode_flow(void)
{
    uint64_t copies = is("fan") ? opt.subscribers : 1;
    uint64_t expected = (uint64_t) opt.messages * opt.publishers * copies;

    subs = calloc(opt.subscribers, sizeof *subs);
    pubs = calloc(opt.publishers, sizeof *pubs);
    next = calloc(opt.subscribers, sizeof *next);
    open_all(subs, opt.subscribers, 's');
    open_all(pubs, opt.publishers, 'p');
    moment from = measure_now();
    run(expected);
    moment to = measure_now();
    double seconds = (double) heard_ns / 1e9 - from.wall_s;
    printf("{\"delivered\":%llu,\"lost\":%lld,\"disorder\":%llu,\"per_s\":%.0f,"
           "\"cpu_us\":%.4f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
           (unsigned long long) delivered, (long long) (expected - delivered),
           (unsigned long long) disorder, (double) delivered / seconds,
           (to.cpu_s - from.cpu_s) * 1e6 / (double) delivered, measure_latency_us(0.5),
           measure_latency_us(0.99));
    return delivered == expected && disorder == 0 ? 0 : 1;
}
