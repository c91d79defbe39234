// status.h - result codes of every function that can fail, and their texts.
//
// A negative int is one of these; 0 or a count is success. On failure the outputs are
// untouched and the object is as it was.
#pragma once

enum nmq_status {
    NMQ_OK = 0,
    NMQ_ENOMEM = -1,     // an allocation failed
    NMQ_EMALFORMED = -2, // bytes that break the wire format
    NMQ_ENOENT = -3,     // no such client, listener, subscription or name
    NMQ_EFILTER = -4,    // not a valid Topic Filter
    NMQ_ETOPIC = -5,     // not a valid Topic Name
    NMQ_EINVAL = -6,     // an argument out of its range
    NMQ_ECLOSED = -7,    // the object is closed or closing
    NMQ_EADDRINUSE = -8, // another socket listens on that address
    NMQ_EADDR = -9,      // the URL or its address cannot be used
    NMQ_EACCESS = -10,   // the system refuses it
    NMQ_EIO = -11,       // the transport failed
    NMQ_ETOOBIG = -12,   // over a configured or a protocol limit
    NMQ_ECRYPTO = -13,   // a certificate or a key cannot be used
    NMQ_ESHORT = -14,    // memory is short: what would take more is refused
    NMQ_EFILES = -15,    // the process may have no more descriptors
    NMQ_ETIMEOUT = -16,  // the time given for it is over
    NMQ_EREFUSED = -17,  // the other end does not want the connection
    NMQ_ENOSPC = -18,    // there is no room on the disk
    NMQ_ECORRUPT = -19,  // what was written to a disk is not what is read
    NMQ_ENEWER = -20,    // a later version wrote it
    NMQ_ESTORE = -21,    // what is to be kept cannot be written any more
};

// Returns a short text for a status, never NULL. Thread-safe.
const char *nmq_status_text(int status);
