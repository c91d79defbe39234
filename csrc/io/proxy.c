#include "io/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum {
    LINE_BYTES = 107, // the longest of version 1, with its CR LF
    HEAD_BYTES = 16,  // of version 2
    TCP4_BYTES = 12,
    TCP6_BYTES = 36,
    BODY_BYTES = 4096, // of version 2, at most: addresses and what is added to them
};

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

// Cuts the next word, up to one space or the end. Returns false when there is none.
static bool
next_word(char **at, char **word)
{
    *word = *at;
    if (**at == 0) {
        return false;
    }
    *at += strcspn(*at, " ");
    if (**at == ' ') {
        *(*at)++ = 0;
    }
    return **word != 0;
}

static bool
read_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *port = (uint16_t) value;
    return text[0] >= '0' && text[0] <= '9' && *end == 0 && value <= UINT16_MAX;
}

// What stands behind "PROXY ".
static int
read_line(char *line, nmq_peer *peer)
{
    char *word[5];
    uint8_t address[16];
    uint16_t port;
    uint16_t own_port;

    if (!next_word(&line, &word[0])) {
        return NMQ_EMALFORMED;
    }
    if (strcmp(word[0], "UNKNOWN") == 0) {
        return NMQ_OK;
    }
    int family = strcmp(word[0], "TCP4") == 0   ? AF_INET
                 : strcmp(word[0], "TCP6") == 0 ? AF_INET6
                                                : AF_UNSPEC;
    for (int i = 1; i < 5; i++) {
        if (!next_word(&line, &word[i])) {
            return NMQ_EMALFORMED;
        }
    }
    if (family == AF_UNSPEC || *line != 0 || inet_pton(family, word[2], address) != 1 ||
        inet_pton(family, word[1], address) != 1 || !read_port(word[3], &port) ||
        !read_port(word[4], &own_port)) {
        return NMQ_EMALFORMED;
    }
    *peer = family == AF_INET ? nmq_peer_ip4(address, port) : nmq_peer_ip6(address, port);
    return NMQ_OK;
}

static int
read_v1(nmq_bytes in, nmq_peer *peer)
{
    static const char begin[] = "PROXY ";
    char line[LINE_BYTES + 1];
    size_t most = in.len < LINE_BYTES ? in.len : LINE_BYTES;
    size_t known = most < sizeof begin - 1 ? most : sizeof begin - 1;
    const uint8_t *end = memchr(in.at, '\n', most);

    if (memcmp(in.at, begin, known) != 0 || (end == NULL && most == LINE_BYTES)) {
        return NMQ_EMALFORMED;
    }
    if (end == NULL) {
        return 0;
    }
    size_t len = (size_t) (end - in.at);
    if (len < sizeof begin || in.at[len - 1] != '\r' || memchr(in.at, 0, len) != NULL) {
        return NMQ_EMALFORMED;
    }
    memcpy(line, in.at, len - 1);
    line[len - 1] = 0;
    int rv = read_line(line + sizeof begin - 1, peer);
    return rv == NMQ_OK ? (int) len + 1 : rv;
}

static uint16_t
port_at(const uint8_t *at)
{
    return (uint16_t) (at[0] << 8 | at[1]);
}

static int
read_v2(nmq_bytes in, nmq_peer *peer)
{
    if (in.len < HEAD_BYTES) {
        return 0;
    }
    uint8_t command = in.at[12];
    uint8_t family = in.at[13];
    size_t size = port_at(in.at + 14);
    const uint8_t *a = in.at + HEAD_BYTES;
    bool tcp4 = family == 0x11;
    bool tcp6 = family == 0x21;
    if (size > BODY_BYTES || (command != 0x20 && command != 0x21) ||
        (tcp4 && size < TCP4_BYTES) || (tcp6 && size < TCP6_BYTES)) {
        return NMQ_EMALFORMED;
    }
    if (in.len < HEAD_BYTES + size) {
        return 0;
    }
    if (command == 0x21 && tcp4) {
        *peer = nmq_peer_ip4(a, port_at(a + 8));
    } else if (command == 0x21 && tcp6) {
        *peer = nmq_peer_ip6(a, port_at(a + 32));
    }
    return (int) (HEAD_BYTES + size);
}

int
nmq_proxy_read(nmq_bytes in, nmq_peer *peer)
{
    size_t known = in.len < sizeof signature ? in.len : sizeof signature;

    if (in.len == 0) {
        return 0;
    }
    return memcmp(in.at, signature, known) == 0 ? read_v2(in, peer) : read_v1(in, peer);
}
