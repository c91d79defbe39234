#include "serve/sub_codes.h"

#include "base/status.h"
#include "mqtt/reason.h"
#include "serve/reply.h"
#include "store/topic_tree.h"

// The codes of SUBACK [MQTT-3.9.3-2] [MQTT-3.9.3-2 of 3.1.1].
uint8_t
nmq_sub_codes_of(int rv, uint8_t options)
{
    switch (rv) {
    case 0:
    case 1: return options & NMQ_SUB_QOS; // [MQTT-3.9.3-1]
    case NMQ_ETOPIC:
    case NMQ_EFILTER: return NMQ_RC_TOPIC_FILTER_INVALID;
    case NMQ_ESHORT:
    case NMQ_ENOSPC:
    case NMQ_ETOOBIG: return NMQ_RC_QUOTA_EXCEEDED;
    case NMQ_ESTORE: return NMQ_RC_IMPLEMENTATION_SPECIFIC;
    case NMQ_EACCESS: return NMQ_RC_NOT_AUTHORIZED;
    default: return NMQ_RC_UNSPECIFIED_ERROR;
    }
}

// Before 5.0 every failure is 0x80.
uint8_t
nmq_sub_codes_for(const nmq_server_conn *conn, uint8_t code)
{
    return conn->net.version == NMQ_V5 || code < NMQ_RC_UNSPECIFIED_ERROR
               ? code
               : (uint8_t) NMQ_RC_UNSPECIFIED_ERROR;
}

// What SUBACK or UNSUBACK says besides its codes: why the first that failed did.
const char *
nmq_sub_codes_why(const nmq_buf *codes)
{
    for (size_t i = 0; i < codes->len; i++) {
        switch (codes->at[i]) {
        case NMQ_RC_TOPIC_FILTER_INVALID: return "a Topic Filter is not valid";
        case NMQ_RC_NOT_AUTHORIZED: return "an access rule denies it";
        case NMQ_RC_QUOTA_EXCEEDED:
            return "too many subscriptions, or memory or the disk is short";
        case NMQ_RC_IMPLEMENTATION_SPECIFIC: return nmq_reply_unlogged(NMQ_ESTORE).why;
        case NMQ_RC_UNSPECIFIED_ERROR: return "the broker is out of memory";
        default: break;
        }
    }
    return NULL;
}
