// load.c - a load of MQTT 3.1.1 messages, and what it cost the broker in CPU time.
//
//     load PORT PID LAYOUT QOS PUBLISHERS SUBSCRIBERS MESSAGES BYTES
//
// LAYOUT is `pairs` (subscriber n hears publisher n) or `fan` (every subscriber hears every
// publisher). One thread and epoll: it must cost less than what it measures. The CPU time
// of process PID is read from /proc before and after. One line of JSON on stdout.
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 64, OUT_BYTES = 1 << 17, IN_BYTES = 1 << 20, GIVE_UP_S = 5 };

typedef struct {
    int fd;
    bool publishes;
    bool wants_out;
    unsigned index;
    unsigned sent;
    unsigned done; // QoS 1 and 2: acknowledged
    uint32_t next; // the sequence number that is due, for loss and order
    size_t in_len;
    size_t out_len;
    uint8_t *in;
    uint8_t *out;
} client;

static unsigned port, pid, qos, publishers, subscribers, messages, payload;
static bool fan;
static int poller;
static uint64_t delivered, out_of_order;

static double
now_s(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double
broker_cpu_s(void)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;

    (void) snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "r");
    assert(file != NULL);
    char *got = fgets(line, sizeof line, file);
    (void) fclose(file);
    assert(got != NULL);
    // The fields behind the command's closing bracket: utime and stime are the 12th and
    // 13th.
    int n = sscanf(strrchr(line, ')') + 2,
                   "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    assert(n == 2);
    return (double) (user + system) / (double) sysconf(_SC_CLK_TCK);
}

static void
arm(client *c, bool out)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c};

    if (c->wants_out != out) {
        c->wants_out = out;
        (void) epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    }
}

static void
flush(client *c)
{
    size_t at = 0;

    while (at < c->out_len) {
        ssize_t n = send(c->fd, c->out + at, c->out_len - at, MSG_NOSIGNAL);
        if (n < 0) {
            assert(errno == EAGAIN);
            break;
        }
        at += (size_t) n;
    }
    c->out_len -= at;
    memmove(c->out, c->out + at, c->out_len);
    arm(c, c->out_len > 0);
}

static uint8_t *
reserve(client *c, size_t len)
{
    if (OUT_BYTES + payload < c->out_len + len) {
        flush(c);
    }
    assert(c->out_len + len <= OUT_BYTES + payload + 65536);
    c->out_len += len;
    return c->out + c->out_len - len;
}

static uint8_t *
put_length(uint8_t *to, size_t len)
{
    for (; len > 127; len >>= 7) {
        *to++ = (uint8_t) (len | 128);
    }
    *to++ = (uint8_t) len;
    return to;
}

static void
put_ack(client *c, unsigned type, const uint8_t id[2])
{
    uint8_t *to = reserve(c, 4);

    to[0] = (uint8_t) (type << 4 | (type == 6 ? 2 : 0));
    to[1] = 2;
    memcpy(to + 2, id, 2);
}

static size_t
topic_of(char *to, unsigned publisher)
{
    return (size_t) (fan ? sprintf(to, "bench/all") : sprintf(to, "bench/%u", publisher));
}

static void
put_publish(client *c)
{
    char topic[32];
    size_t topic_len = topic_of(topic, c->index);
    size_t body = 2 + topic_len + (qos > 0 ? 2 : 0) + payload;
    uint8_t head[5] = {(uint8_t) (3 << 4 | qos << 1)};
    size_t head_len = (size_t) (put_length(head + 1, body) - head);
    uint8_t *to = reserve(c, head_len + body);
    unsigned id = c->sent % 65535 + 1;

    memcpy(to, head, head_len);
    to += head_len;
    *to++ = (uint8_t) (topic_len >> 8);
    *to++ = (uint8_t) topic_len;
    memcpy(to, topic, topic_len);
    to += topic_len;
    if (qos > 0) {
        *to++ = (uint8_t) (id >> 8);
        *to++ = (uint8_t) id;
    }
    memset(to, 'x', payload);
    memcpy(to, &c->sent, sizeof c->sent);
    c->sent++;
}

static void
on_publish(client *c, uint8_t head, const uint8_t *body)
{
    size_t at = 2 + (size_t) (body[0] << 8 | body[1]);
    unsigned got_qos = head >> 1 & 3;
    uint32_t number;

    if (got_qos > 0) {
        put_ack(c, got_qos == 1 ? 4 : 5, body + at);
        at += 2;
    }
    memcpy(&number, body + at, sizeof number);
    out_of_order += !fan && number != c->next;
    c->next = number + 1;
    delivered++;
}

static void
on_packet(client *c, uint8_t head, const uint8_t *body)
{
    switch (head >> 4) {
    case 3: on_publish(c, head, body); break;
    case 4: // PUBACK
    case 7: // PUBCOMP
        c->done++;
        break;
    case 5: put_ack(c, 6, body); break;
    case 6: put_ack(c, 7, body); break;
    default: break;
    }
}

// Handles the whole packets in the buffer; returns how many there were.
static unsigned
take_packets(client *c)
{
    size_t at = 0;
    unsigned n = 0;

    for (;; n++) {
        size_t len = 0, k = 1;
        unsigned shift = 0;
        bool whole = false;
        for (; at + k < c->in_len && !whole && k < 5; k++, shift += 7) {
            len |= (size_t) (c->in[at + k] & 127) << shift;
            whole = c->in[at + k] < 128;
        }
        if (!whole || at + k + len > c->in_len) {
            break;
        }
        on_packet(c, c->in[at], c->in + at + k);
        at += k + len;
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
    return n;
}

static void
on_readable(client *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES + payload - c->in_len, 0);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    assert(n > 0);
    c->in_len += (size_t) n;
    (void) take_packets(c);
    flush(c);
}

// Sends what is in the buffer and waits for one packet, while the socket still blocks.
static void
ask(client *c)
{
    flush(c);
    do {
        ssize_t n = recv(c->fd, c->in + c->in_len, 256, 0);
        assert(n > 0);
        c->in_len += (size_t) n;
    } while (take_packets(c) == 0);
}

static void
come_in(client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
    int one = 1;
    char id[16];

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->in = malloc(IN_BYTES + payload);
    c->out = malloc(OUT_BYTES + payload + 65536);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert(c->in != NULL && c->out != NULL && c->fd >= 0);
    assert(connect(c->fd, (struct sockaddr *) &to, sizeof to) == 0);
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    assert(epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) == 0);
    int len = snprintf(id, sizeof id, "b%c%u", c->publishes ? 'p' : 's', c->index);
    uint8_t *at = reserve(c, (size_t) (14 + len));
    memcpy(at, "\x10\0\0\4MQTT\4\2\1\x2c\0", 13);
    at[1] = (uint8_t) (12 + len);
    at[13] = (uint8_t) len;
    memcpy(at + 14, id, (size_t) len);
    ask(c);
    if (!c->publishes) {
        char topic[32];
        size_t topic_len = topic_of(topic, c->index);
        at = reserve(c, 7 + topic_len);
        memcpy(at, "\x82\0\0\1\0", 5);
        at[1] = (uint8_t) (5 + topic_len);
        at[5] = (uint8_t) topic_len;
        memcpy(at + 6, topic, topic_len);
        at[6 + topic_len] = (uint8_t) qos;
        ask(c);
    }
}

// Puts as much as the window and the buffer take. Returns whether there is more to come.
static bool
publish_some(client *c)
{
    for (int burst = 0; burst < 32 && c->sent < messages; burst++) {
        if (c->out_len >= OUT_BYTES / 2 || (qos > 0 && c->sent - c->done >= WINDOW)) {
            break;
        }
        put_publish(c);
    }
    if (!c->wants_out) {
        flush(c);
    }
    return c->sent < messages || (qos > 0 && c->done < messages);
}

int
main(int argc, char **argv)
{
    struct epoll_event events[256];

    if (argc != 9) {
        fputs("load PORT PID pairs|fan QOS PUBLISHERS SUBSCRIBERS MESSAGES BYTES\n",
              stderr);
        return 2;
    }
    port = (unsigned) atoi(argv[1]);
    pid = (unsigned) atoi(argv[2]);
    fan = strcmp(argv[3], "fan") == 0;
    qos = (unsigned) atoi(argv[4]);
    publishers = (unsigned) atoi(argv[5]);
    subscribers = (unsigned) atoi(argv[6]);
    messages = (unsigned) atoi(argv[7]);
    payload = (unsigned) atoi(argv[8]);
    unsigned count = publishers + subscribers;
    client *clients = calloc(count, sizeof *clients);
    poller = epoll_create1(0);
    for (unsigned i = 0; i < count; i++) { // subscribers first
        clients[i].publishes = i >= subscribers;
        clients[i].index = i >= subscribers ? i - subscribers : i;
        come_in(&clients[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        int flags = fcntl(clients[i].fd, F_GETFL);
        assert(fcntl(clients[i].fd, F_SETFL, flags | O_NONBLOCK) == 0);
    }
    uint64_t expected = (uint64_t) messages * subscribers * (fan ? publishers : 1);
    double cpu_s = broker_cpu_s(), begun_s = now_s(), heard_s = begun_s;
    for (bool more = true; more || delivered < expected;) {
        uint64_t before = delivered;
        more = false;
        for (unsigned i = subscribers; i < count; i++) {
            more |= publish_some(&clients[i]);
        }
        int n = epoll_wait(poller, events, 256, more && qos == 0 ? 0 : 10);
        for (int i = 0; i < n; i++) {
            client *c = events[i].data.ptr;
            if ((events[i].events & EPOLLIN) != 0) {
                on_readable(c);
            }
            if ((events[i].events & EPOLLOUT) != 0) {
                flush(c);
            }
        }
        heard_s = delivered != before ? now_s() : heard_s;
        if (now_s() - heard_s > GIVE_UP_S) {
            break;
        }
    }
    double seconds = heard_s - begun_s;
    printf("{\"delivered\":%llu,\"lost\":%llu,\"out_of_order\":%llu,\"per_s\":%.0f,"
           "\"cpu_us\":%.3f}\n",
           (unsigned long long) delivered, (unsigned long long) (expected - delivered),
           (unsigned long long) out_of_order, (double) delivered / seconds,
           (broker_cpu_s() - cpu_s) * 1e6 / (double) delivered);
    return delivered == expected && out_of_order == 0 ? 0 : 1;
}
