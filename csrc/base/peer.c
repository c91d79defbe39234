#include "base/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

nmq_peer
nmq_peer_ip4(const uint8_t address[4], uint16_t port)
{
    nmq_peer peer = {.port = port, .address_len = 4};

    memcpy(peer.address, address, 4);
    return peer;
}

nmq_peer
nmq_peer_ip6(const uint8_t address[16], uint16_t port)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    nmq_peer peer = {.port = port, .address_len = 16};

    if (memcmp(address, mapped, sizeof mapped) == 0) {
        return nmq_peer_ip4(address + sizeof mapped, port);
    }
    memcpy(peer.address, address, 16);
    return peer;
}

nmq_peer
nmq_peer_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *) address;
        return nmq_peer_ip4((const uint8_t *) &in->sin_addr, ntohs(in->sin_port));
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *) address;
        return nmq_peer_ip6(in6->sin6_addr.s6_addr, ntohs(in6->sin6_port));
    }
    return (nmq_peer){0};
}

bool
nmq_peer_is_in(const nmq_peer *peer, const nmq_network *network)
{
    unsigned whole = network->prefix_bits / 8;
    unsigned rest = network->prefix_bits % 8;

    if (network->address_len != peer->address_len ||
        memcmp(network->address, peer->address, whole) != 0) {
        return false;
    }
    return rest == 0 || (network->address[whole] ^ peer->address[whole]) >> (8 - rest) == 0;
}

const char *
nmq_network_read(const char *text, nmq_network *network)
{
    char host[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");
    char *end;

    if (text[len] != '/' || len >= sizeof host) {
        return NULL;
    }
    memcpy(host, text, len);
    host[len] = 0;
    *network = (nmq_network){.address_len = strchr(host, ':') != NULL ? 16 : 4};
    unsigned long bits = strtoul(text + len + 1, &end, 10);
    if (end == text + len + 1 ||
        inet_pton(network->address_len == 4 ? AF_INET : AF_INET6, host, network->address) !=
            1 ||
        bits > 8ul * network->address_len) {
        return NULL;
    }
    network->prefix_bits = (uint8_t) bits;
    return *end == ',' ? end + 1 : end;
}

nmq_peer_text
nmq_peer_host(const nmq_peer *peer)
{
    nmq_peer_text host = {""};

    if (peer->address_len > 0) {
        (void) inet_ntop(peer->address_len == 4 ? AF_INET : AF_INET6, peer->address,
                         host.text, sizeof host.text);
    }
    return host;
}

nmq_peer_text
nmq_peer_name(const nmq_peer *peer)
{
    nmq_peer_text name = {"local"};
    char host[INET6_ADDRSTRLEN] = "";

    if (peer->address_len == 4) {
        (void) inet_ntop(AF_INET, peer->address, host, sizeof host);
        (void) snprintf(name.text, sizeof name.text, "%s:%u", host, peer->port);
    } else if (peer->address_len == 16) {
        (void) inet_ntop(AF_INET6, peer->address, host, sizeof host);
        (void) snprintf(name.text, sizeof name.text, "[%s]:%u", host, peer->port);
    }
    return name;
}
