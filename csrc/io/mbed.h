// mbed.h - numbers of Mbed TLS 3.6 and of TLS, as far as they are used here.
//
// Source   mbedtls/ssl.h, x509.h, error.h; RFC 8446, 6
#pragma once

enum nmq_mbed_alert {
    NMQ_ALERT_FATAL = 2, // a level; the others are descriptions
    NMQ_ALERT_HANDSHAKE_FAILURE = 40,
    NMQ_ALERT_NO_CERTIFICATE = 41, // of SSL 3.0 alone
    NMQ_ALERT_UNSUPPORTED_CERTIFICATE = 43,
    NMQ_ALERT_CERTIFICATE_REVOKED = 44,
    NMQ_ALERT_CERTIFICATE_EXPIRED = 45,
    NMQ_ALERT_CERTIFICATE_UNKNOWN = 46,
    NMQ_ALERT_UNKNOWN_CA = 48,
    NMQ_ALERT_ACCESS_DENIED = 49,
    NMQ_ALERT_CERTIFICATE_REQUIRED = 116,
};

// What is wrong with a certificate, as bits.
enum nmq_mbed_bad {
    NMQ_BAD_EXPIRED = 0x01,
    NMQ_BAD_REVOKED = 0x02,
    NMQ_BAD_NAME = 0x04, // it is another host's
    NMQ_BAD_NOT_TRUSTED = 0x08,
    NMQ_BAD_LIST = 0x0430, // of what its CA has revoked
    NMQ_BAD_MISSING = 0x40,
    NMQ_BAD_UNASKED = 0x80, // it was not looked at
    NMQ_BAD_FUTURE = 0x0200,
    NMQ_BAD_USE = 0x3800, // of its key
};

enum nmq_mbed_error {
    NMQ_MBED_WANT_READ = -0x6900,
    NMQ_MBED_WANT_WRITE = -0x6880,
    NMQ_MBED_GONE_EOF = -0x7280,
    NMQ_MBED_GONE_CLOSED = -0x7880,
    NMQ_MBED_GONE_RECV = -0x004c,
    NMQ_MBED_GONE_SEND = -0x004e,
    NMQ_MBED_VERIFY_FAILED = -0x2700,
    NMQ_MBED_NO_CERTIFICATE = -0x7480,
    NMQ_MBED_FATAL_ALERT = -0x7780,
    NMQ_MBED_UNKNOWN_IDENTITY = -0x6c80, // of a pre-shared key
    NMQ_MBED_BAD_VERSION = -0x6e80,
    NMQ_MBED_NOTHING_IN_COMMON = -0x6e00,
    NMQ_MBED_BAD_RECORD = -0x7200,
    NMQ_MBED_UNEXPECTED_MESSAGE = -0x7700,
    NMQ_MBED_BAD_MAC = -0x7180,
};

enum { NMQ_MBED_IS_SERVER = 1 };
enum { NMQ_MBED_PSK_MODES = 1 | 4 }; // key exchanges of TLS 1.3: psk and psk_ephemeral
