// proxy.h - the header by which a load balancer says whose connection it passes on.
//
//     PROXY TCP4 192.0.2.1 198.51.100.2 4711 1883 CR LF          version 1
//     12 bytes of signature, command, family, length, addresses  version 2
//
// Threads  none of its own.
// Source   The PROXY protocol, versions 1 and 2 (HAProxy, 2020/03/05).
#pragma once
#include "base/bytes.h"
#include "base/peer.h"

// Reads the header at the front of `in`. Returns the bytes it took, 0 if more are needed,
// or NMQ_EMALFORMED, which a header of over 4 KiB is too. *peer becomes the address that it
// names; it stays as it is where the balancer speaks for itself (LOCAL, UNKNOWN) or names
// no internet address.
int nmq_proxy_read(nmq_bytes in, nmq_peer *peer);
