#include "io/nng.h"

#include "base/status.h"

nmq_nng_table nng;

int
nmq_nng_status(int rv)
{
    switch (rv) {
    case 0: return NMQ_OK;
    case NNG_ENOMEM: return NMQ_ENOMEM;
    case NNG_ETIMEDOUT: return NMQ_ETIMEOUT;
    case NNG_ECONNREFUSED: return NMQ_EREFUSED;
    case NNG_EADDRINUSE: return NMQ_EADDRINUSE;
    case NNG_EADDRINVAL: return NMQ_EADDR;
    case NNG_EPERM: return NMQ_EACCESS;
    case NNG_ENOFILES: return NMQ_EFILES;
    case NNG_ECRYPTO: return NMQ_ECRYPTO;
    default: return NMQ_EIO;
    }
}
