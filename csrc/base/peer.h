// peer.h - the address of the other end of a connection.
//
//     192.0.2.1:4711      [2001:db8::1]:4711      local
//
// Threads  none of its own.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

// A zeroed peer is one on this machine, without an address (IPC).
typedef struct {
    uint8_t address[16]; // network order
    uint16_t port;
    uint8_t address_len; // 4, 16, or 0: none
    bool counted;        // among the connections of its address; net/listener.h
} nmq_peer;

// The addresses whose first prefix_bits are those of `address`.
typedef struct {
    uint8_t address[16]; // network order
    uint8_t address_len; // 4 or 16
    uint8_t prefix_bits; // how many of its bits count
} nmq_network;

typedef struct {
    char text[64];
} nmq_peer_text;

// The peer with that address; an IPv4 address that is mapped into IPv6 counts as IPv4.
nmq_peer nmq_peer_of(const struct sockaddr *address);
nmq_peer nmq_peer_ip4(const uint8_t address[4], uint16_t port);
nmq_peer nmq_peer_ip6(const uint8_t address[16], uint16_t port);

// Whether the peer has an address, and that is in the network.
bool nmq_peer_is_in(const nmq_peer *peer, const nmq_network *network);

// Reads one ADDRESS/BITS off the front of the text, and a comma behind it. Returns where
// the next one begins, or NULL when it is not a network.
const char *nmq_network_read(const char *text, nmq_network *network);

// The address alone as text; empty: none.
nmq_peer_text nmq_peer_host(const nmq_peer *peer);

// Address and port as text; returned by value, so that it can be an argument of a log line.
nmq_peer_text nmq_peer_name(const nmq_peer *peer);
