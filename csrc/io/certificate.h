// certificate.h - the names in a certificate (X.509, DER).
//
//     subject  CN=pump-7, O=Works     NMQ_PEER_COMMON_NAME -> pump-7
//     SAN      DNS:pump-7.works       NMQ_PEER_DNS_NAME    -> pump-7.works
//
// Threads  none of its own; it keeps nothing.
// Source   RFC 5280, 4.1, 4.1.2.6 and 4.2.1.6; X.690, 8
#pragma once
#include "base/bytes.h"
#include "io/peer_name.h"

enum { NMQ_PEER_NAME_BYTES = 256 };

// Writes the first name of that kind, NUL-terminated; it is ASCII, or, in a subject, what
// the certificate calls UTF-8. Returns NMQ_OK, NMQ_ENOENT where there is none or it is
// empty, or NMQ_EACCESS for one that cannot be a user name (it is too long, has a NUL, or
// is in another character set) and for a certificate that cannot be read.
int nmq_certificate_name(nmq_bytes der, enum nmq_peer_name kind,
                         char to[NMQ_PEER_NAME_BYTES]);
