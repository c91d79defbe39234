// ban_kind.h - what a ban names. cffi reads this file: no macros here.
#pragma once

enum nmq_ban_kind {
    NMQ_BAN_CLIENT_ID,
    NMQ_BAN_USER_NAME,
    NMQ_BAN_ADDRESS, // a network, ADDRESS/BITS
    NMQ_BAN_KINDS,
};
