// client.c - see client.h.
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16, FRAME_HEAD = 14, SMALL_BYTES = 512, FEW_CLIENTS = 250 };

static int poller = -1;

static void
must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
        exit(2);
    }
}

uint64_t
now_ns(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static uint8_t *
grow(uint8_t *at, size_t *cap, size_t want)
{
    if (want > *cap) {
        *cap = want < SMALL_BYTES ? SMALL_BYTES : want + want / 2;
        at = realloc(at, *cap);
        must(at != NULL, "memory");
    }
    return at;
}

// --- bytes

// Returns what was taken, 0 when the socket is full.
static size_t
write_some(client *c, const uint8_t *at, size_t len)
{
    if (c->tls != NULL) {
        int n = SSL_write(c->tls, at, (int) len);
        must(n > 0 || SSL_get_error(c->tls, n) == SSL_ERROR_WANT_WRITE, "TLS write");
        return n > 0 ? (size_t) n : 0;
    }
    ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
    must(n > 0 || errno == EAGAIN || errno == ENOTCONN, "send");
    return n > 0 ? (size_t) n : 0;
}

// Returns what came, 0 when there is nothing now.
static size_t
read_some(client *c, uint8_t *to, size_t cap)
{
    if (c->tls != NULL) {
        int n = SSL_read(c->tls, to, (int) cap);
        must(n > 0 || SSL_get_error(c->tls, n) == SSL_ERROR_WANT_READ, "TLS read");
        return n > 0 ? (size_t) n : 0;
    }
    ssize_t n = recv(c->fd, to, cap, 0);
    must(n > 0 || (n < 0 && errno == EAGAIN), "closed by the broker");
    return n > 0 ? (size_t) n : 0;
}

static void
arm(client *c, bool out)
{
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c};

    if (c->wants_out != out) {
        c->wants_out = out;
        must(epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) == 0, "epoll");
    }
}

void
client_flush(client *c)
{
    size_t at = 0, n;

    while (at < c->out_len && (n = write_some(c, c->out + at, c->out_len - at)) > 0) {
        at += n;
    }
    c->out_len -= at;
    memmove(c->out, c->out + at, c->out_len);
    arm(c, c->out_len > 0);
}

// Room for a packet of `len` bytes, in a frame of its own where frames are used. The mask
// is 0: the broker takes it off all the same.
static uint8_t *
room(client *c, size_t len)
{
    c->out = grow(c->out, &c->out_cap, c->out_len + len + FRAME_HEAD);
    uint8_t *to = c->out + c->out_len;
    if (c->is_ws) {
        uint8_t *from = to;
        *to++ = 0x82;
        if (len < 126) {
            *to++ = (uint8_t) (0x80 | len);
        } else {
            bool wide = len > 65535;
            *to++ = (uint8_t) (0x80 | (wide ? 127 : 126));
            for (int i = wide ? 7 : 1; i >= 0; i--) {
                *to++ = (uint8_t) ((uint64_t) len >> 8 * i);
            }
        }
        memset(to, 0, 4);
        to += 4;
        c->out_len += (size_t) (to - from);
    }
    c->out_len += len;
    return to;
}

// --- packets out

static uint8_t *
put_text(uint8_t *to, const char *text)
{
    size_t len = strlen(text);

    *to++ = (uint8_t) (len >> 8);
    *to++ = (uint8_t) len;
    memcpy(to, text, len);
    return to + len;
}

static uint8_t *
put_head(client *c, uint8_t first, size_t body)
{
    uint8_t head[5] = {first};
    size_t n = 1;

    for (size_t left = body;; left >>= 7) {
        head[n++] = (uint8_t) (left > 127 ? left | 128 : left);
        if (left <= 127) {
            break;
        }
    }
    uint8_t *to = room(c, n + body);
    memcpy(to, head, n);
    return to + n;
}

static void
put_connect(client *c)
{
    char id[32];

    int len = snprintf(id, sizeof id, "load-%c%u", c->role, c->index);
    uint8_t *to = put_text(put_head(c, 0x10, 12 + (size_t) len), "MQTT");
    *to++ = 4;
    *to++ = c->clean ? 2 : 0;
    *to++ = 0;
    *to++ = 0;
    (void) put_text(to, id);
}

void
client_put_subscribe(client *c, const char *topic_filter)
{
    uint8_t *to = put_head(c, 0x82, 5 + strlen(topic_filter));

    *to++ = 0;
    *to++ = 1;
    *put_text(to, topic_filter) = (uint8_t) opt.qos;
}

void
client_put_publish(client *c, const char *topic, bool retain)
{
    size_t body = 2 + strlen(topic) + (opt.qos > 0 ? 2 : 0) + opt.bytes;
    uint8_t *to = put_text(
        put_head(c, (uint8_t) (PUBLISH << 4 | opt.qos << 1 | retain), body), topic);
    unsigned id = c->sent % 65535 + 1;
    stamp s = {now_ns(), c->index, c->sent++};

    if (opt.qos > 0) {
        *to++ = (uint8_t) (id >> 8);
        *to++ = (uint8_t) id;
    }
    memset(to, 'x', opt.bytes);
    memcpy(to, &s, sizeof s);
}

void
client_put_ack(client *c, unsigned type, const uint8_t id[2])
{
    memcpy(put_head(c, (uint8_t) (type << 4 | (type == PUBREL ? 2 : 0)), 2), id, 2);
}

void
client_put_disconnect(client *c)
{
    (void) put_head(c, 0xe0, 0);
}

const uint8_t *
client_take_publish(client *c, uint8_t head, const uint8_t *body)
{
    size_t at = 2 + (size_t) (body[0] << 8 | body[1]);
    unsigned qos = head >> 1 & 3;

    if (qos > 0) {
        client_put_ack(c, qos == 1 ? PUBACK : PUBREC, body + at);
        at += 2;
    }
    c->heard++;
    return body + at;
}

// --- packets in

static void
handle(client *c, uint8_t head, const uint8_t *body, size_t len)
{
    switch (head >> 4) {
    case PUBREC: client_put_ack(c, PUBREL, body); break;
    case PUBREL: client_put_ack(c, PUBCOMP, body); break;
    case PUBACK:
    case PUBCOMP: c->settled++; break;
    default: break;
    }
    c->packet(c, head, body, len);
}

static void
take_packets(client *c)
{
    size_t at = 0;

    while (c->fd >= 0) {
        size_t len = 0, k = 1;
        bool whole = false;
        for (unsigned shift = 0; at + k < c->in_len && !whole && k < 5; k++, shift += 7) {
            len |= (size_t) (c->in[at + k] & 127) << shift;
            whole = c->in[at + k] < 128;
        }
        if (!whole || at + k + len > c->in_len) {
            break;
        }
        handle(c, c->in[at], c->in + at + k, len);
        at += k + len;
    }
    if (c->fd >= 0 && at > 0) {
        c->in_len -= at;
        memmove(c->in, c->in + at, c->in_len + c->raw_len);
    }
}

// Takes the frames apart that are whole: their payloads join the MQTT bytes before them.
static void
take_frames(client *c)
{
    uint8_t *raw = c->in + c->in_len;
    size_t left = c->raw_len;

    while (left >= 2) {
        size_t head = raw[1] == 126 ? 4 : raw[1] == 127 ? 10 : 2;
        size_t len = 0;
        if (left < head) {
            break;
        }
        for (size_t i = 2; i < head; i++) {
            len = len << 8 | raw[i];
        }
        len = head == 2 ? raw[1] : len;
        if (left < head + len) {
            break;
        }
        memmove(c->in + c->in_len, raw + head, len);
        c->in_len += len;
        raw += head + len;
        left -= head + len;
    }
    memmove(c->in + c->in_len, raw, left);
    c->raw_len = left;
}

static void
on_readable(client *c)
{
    unsigned clients = opt.publishers + opt.subscribers;
    size_t n, least = clients <= FEW_CLIENTS ? opt.bytes + READ_BYTES : SMALL_BYTES;

    if (c->in_len + c->raw_len == c->in_cap) { // the last read filled it
        least = c->in_cap + opt.bytes;
    }
    do {
        c->in = grow(c->in, &c->in_cap, c->in_len + c->raw_len + least);
        size_t used = c->in_len + c->raw_len;
        n = read_some(c, c->in + used, c->in_cap - used);
        *(c->is_ws ? &c->raw_len : &c->in_len) += n;
        if (c->is_ws) {
            take_frames(c);
        }
        take_packets(c);
    } while (n > 0 && c->fd >= 0 && c->tls != NULL); // TLS may hold what epoll cannot see
    if (c->fd >= 0) {
        client_flush(c);
    }
}

void
client_poll(uint64_t timeout_ns)
{
    struct epoll_event events[256];
    struct timespec wait = {(time_t) (timeout_ns / 1000000000u),
                            (long) (timeout_ns % 1000000000u)};

    int n = epoll_pwait2(poller, events, 256, &wait, NULL);
    for (int i = 0; i < n; i++) {
        client *c = events[i].data.ptr;
        if (c->fd >= 0 && (events[i].events & EPOLLOUT) != 0) {
            client_flush(c);
        }
        if (c->fd >= 0 && (events[i].events & ~(unsigned) EPOLLOUT) != 0) {
            on_readable(c);
        }
    }
}

// --- coming in

static void
start_tls(client *c)
{
    static SSL_CTX *context;

    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    c->tls = SSL_new(context);
    must(c->tls != NULL && SSL_set_fd(c->tls, c->fd) == 1 && SSL_connect(c->tls) == 1,
         "TLS handshake");
}

static void
start_ws(client *c)
{
    static const char ask[] =
        "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    char answer[2048];
    size_t len = 0;

    must(write_some(c, (const uint8_t *) ask, sizeof ask - 1) == sizeof ask - 1, "upgrade");
    do {
        len += read_some(c, (uint8_t *) answer + len, sizeof answer - 1 - len);
        answer[len] = 0;
    } while (strstr(answer, "\r\n\r\n") == NULL && len < sizeof answer - 1);
    must(strstr(answer, " 101 ") != NULL, "WebSocket upgrade refused");
    c->is_ws = true;
}

void
client_open(client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) opt.port)};
    const int on = 1;
    bool plain = strcmp(opt.transport, "tcp") == 0;

    if (poller < 0) {
        poller = epoll_create1(0);
    }
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | (plain ? SOCK_NONBLOCK : 0), 0);
    must(c->fd >= 0, "socket");
    must(connect(c->fd, (struct sockaddr *) &to, sizeof to) == 0 || errno == EINPROGRESS,
         "connect");
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (strcmp(opt.transport, "tls") == 0) {
        start_tls(c);
    } else if (strcmp(opt.transport, "ws") == 0) {
        start_ws(c);
    }
    must(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    put_connect(c);
    c->wants_out = true; // until it is connected
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    must(epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) == 0, "epoll");
}

void
client_close(client *c)
{
    if (c->tls != NULL) {
        SSL_free(c->tls);
    }
    (void) close(c->fd);
    free(c->in);
    free(c->out);
    c->fd = -1;
    c->tls = NULL;
    c->is_ws = false;
    c->in = c->out = NULL;
    c->in_len = c->in_cap = c->raw_len = c->out_len = c->out_cap = 0;
}
