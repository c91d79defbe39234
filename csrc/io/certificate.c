#include "io/certificate.h"

#include <string.h>

#include "base/status.h"

enum {
    OCTETS = 0x04,
    UTF8_STRING = 0x0c,
    PRINTABLE_STRING = 0x13,
    IA5_STRING = 0x16,
    SEQUENCE = 0x30,
    SET = 0x31,
    EMAIL = 0x81, // of a GeneralName
    DNS_NAME = 0x82,
    URI = 0x86,
    VERSION = 0xa0,
    EXTENSIONS = 0xa3,
};

static const nmq_bytes common_name = {(const uint8_t *) "\x55\x04\x03", 3};
static const nmq_bytes alternative_names = {(const uint8_t *) "\x55\x1d\x11", 3};

typedef struct {
    uint8_t tag;
    nmq_bytes value;
} item;

// Reads the length of an item behind its tag. Returns the bytes that it takes, or 0.
static size_t
read_length(nmq_bytes in, size_t *length)
{
    if (in.len == 0 || in.at[0] < 0x80) {
        *length = in.len == 0 ? 0 : in.at[0];
        return in.len == 0 ? 0 : 1;
    }
    size_t count = in.at[0] & 0x7fu;
    if (count == 0 || count > 4 || in.len <= count) {
        return 0;
    }
    *length = 0;
    for (size_t i = 1; i <= count; i++) {
        *length = *length << 8 | in.at[i];
    }
    return 1 + count;
}

// Takes the next item from the front of `in`; false: there is none, or it is cut.
static bool
take(nmq_bytes *in, item *out)
{
    size_t length = 0;

    if (in->len < 2) {
        return false;
    }
    size_t head = read_length((nmq_bytes){in->at + 1, in->len - 1}, &length);
    if (head == 0 || length > in->len - 1 - head) {
        return false;
    }
    *out = (item){in->at[0], {in->at + 1 + head, length}};
    in->at += 1 + head + length;
    in->len -= 1 + head + length;
    return true;
}

// The same for an item that has to be of that kind.
static bool
enter(nmq_bytes *in, uint8_t tag, nmq_bytes *inside)
{
    item found;

    if (!take(in, &found) || found.tag != tag) {
        return false;
    }
    *inside = found.value;
    return true;
}

static int
copy(nmq_bytes name, char to[NMQ_PEER_NAME_BYTES])
{
    if (name.len == 0) {
        return NMQ_ENOENT;
    }
    // A name that is cut would be another's.
    if (name.len >= NMQ_PEER_NAME_BYTES || memchr(name.at, 0, name.len) != NULL) {
        return NMQ_EACCESS;
    }
    memcpy(to, name.at, name.len);
    to[name.len] = 0;
    return NMQ_OK;
}

// `names` is a SEQUENCE OF SET OF { type, value }.
static int
find_common_name(nmq_bytes names, char to[NMQ_PEER_NAME_BYTES])
{
    nmq_bytes set, pair;
    item type, value;

    while (enter(&names, SET, &set)) {
        while (enter(&set, SEQUENCE, &pair)) {
            if (!take(&pair, &type) || !take(&pair, &value)) {
                return NMQ_EACCESS;
            }
            if (nmq_bytes_equal(type.value, common_name)) {
                bool is_text = value.tag == UTF8_STRING || value.tag == PRINTABLE_STRING ||
                               value.tag == IA5_STRING;
                return is_text ? copy(value.value, to) : NMQ_EACCESS;
            }
        }
    }
    return NMQ_ENOENT;
}

static int
find_alternative(nmq_bytes names, uint8_t tag, char to[NMQ_PEER_NAME_BYTES])
{
    nmq_bytes inside;
    item name;

    if (!enter(&names, SEQUENCE, &inside)) {
        return NMQ_EACCESS;
    }
    while (take(&inside, &name)) {
        if (name.tag == tag) {
            for (size_t i = 0; i < name.value.len; i++) { // an IA5String
                if (name.value.at[i] >= 0x80) {
                    return NMQ_EACCESS;
                }
            }
            return copy(name.value, to);
        }
    }
    return NMQ_ENOENT;
}

// `rest` is what stands behind the subject of the certificate.
static int
find_in_extensions(nmq_bytes rest, uint8_t tag, char to[NMQ_PEER_NAME_BYTES])
{
    nmq_bytes list, extension;
    item part = {0};

    while (take(&rest, &part) && part.tag != EXTENSIONS) {
    }
    if (part.tag != EXTENSIONS || !enter(&part.value, SEQUENCE, &list)) {
        return NMQ_ENOENT;
    }
    while (enter(&list, SEQUENCE, &extension)) {
        bool wanted =
            take(&extension, &part) && nmq_bytes_equal(part.value, alternative_names);
        while (wanted && take(&extension, &part)) {
            if (part.tag == OCTETS) { // whether it is critical may stand before it
                return find_alternative(part.value, tag, to);
            }
        }
    }
    return NMQ_ENOENT;
}

int
nmq_certificate_name(nmq_bytes der, enum nmq_peer_name kind, char to[NMQ_PEER_NAME_BYTES])
{
    nmq_bytes certificate, body, subject;
    item part = {0};

    if (!enter(&der, SEQUENCE, &certificate) || !enter(&certificate, SEQUENCE, &body) ||
        !take(&body, &part) || (part.tag == VERSION && !take(&body, &part))) {
        return NMQ_EACCESS;
    }
    // The serial number was taken; signature algorithm, issuer and validity follow.
    for (unsigned i = 0; i < 3; i++) {
        if (!take(&body, &part)) {
            return NMQ_EACCESS;
        }
    }
    if (!enter(&body, SEQUENCE, &subject)) {
        return NMQ_EACCESS;
    }
    switch (kind) {
    case NMQ_PEER_COMMON_NAME: return find_common_name(subject, to);
    case NMQ_PEER_DNS_NAME: return find_in_extensions(body, DNS_NAME, to);
    case NMQ_PEER_EMAIL: return find_in_extensions(body, EMAIL, to);
    case NMQ_PEER_URI: return find_in_extensions(body, URI, to);
    default: return NMQ_ENOENT;
    }
}
