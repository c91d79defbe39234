// peer_name.h - which of the names that TLS has proved is a client's user name. cffi reads
// this file: no macros here.
#pragma once

enum nmq_peer_name {
    NMQ_PEER_NO_NAME,
    NMQ_PEER_COMMON_NAME,  // of the subject of its certificate
    NMQ_PEER_DNS_NAME,     // the first one among its Subject Alternative Names
    NMQ_PEER_EMAIL,        // the first address there
    NMQ_PEER_URI,          // the first one there
    NMQ_PEER_PSK_IDENTITY, // which pre-shared key it has
};
