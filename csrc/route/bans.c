#include "route/bans.h"

#include <pthread.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/status.h"

enum {
    SHARDS = 16,
    NETWORK_TEXT_BYTES = 64,
    PREFIXES = 129, // 0 to 128 bits
};

// A network as a key: equal networks are equal bytes.
typedef struct {
    uint8_t bytes[18]; // length of the address, bits, and the address with the rest 0
} network_key;

typedef struct {
    int64_t until_ms;
    size_t len;
    uint8_t key[];
} ban;

typedef struct {
    pthread_mutex_t lock;
    nmq_map bans; // lock
} shard;

struct nmq_bans {
    shard shards[NMQ_BAN_KINDS][SHARDS];
    uint32_t counts[NMQ_BAN_KINDS]; // atomic
    uint32_t prefixes[2][PREFIXES]; // atomic: networks of so many bits; of IPv4, of IPv6
};

nmq_bans *
nmq_bans_new(void)
{
    nmq_bans *bans = nmq_zalloc(sizeof *bans);

    for (unsigned i = 0; bans != NULL && i < NMQ_BAN_KINDS * SHARDS; i++) {
        (void) pthread_mutex_init(&bans->shards[i / SHARDS][i % SHARDS].lock, NULL);
    }
    return bans;
}

void
nmq_bans_free(nmq_bans *bans)
{
    for (unsigned i = 0; bans != NULL && i < NMQ_BAN_KINDS * SHARDS; i++) {
        shard *s = &bans->shards[i / SHARDS][i % SHARDS];
        for (size_t at = 0; at < s->bans.cap; at++) {
            nmq_free(s->bans.slots[at].value);
        }
        nmq_map_free(&s->bans);
        (void) pthread_mutex_destroy(&s->lock);
    }
    nmq_free(bans);
}

static uint32_t *
prefix_count(nmq_bans *bans, unsigned address_len, unsigned bits)
{
    return &bans->prefixes[address_len == 16][bits];
}

static network_key
key_of(const uint8_t *address, unsigned address_len, unsigned bits)
{
    network_key key = {{(uint8_t) address_len, (uint8_t) bits}};
    uint8_t *to = key.bytes + 2;

    memcpy(to, address, (bits + 7) / 8);
    if (bits % 8 != 0) {
        to[bits / 8] &= (uint8_t) (0xff00u >> (bits % 8));
    }
    return key;
}

static nmq_bytes
bytes_of(const network_key *key)
{
    return (nmq_bytes){key->bytes, sizeof key->bytes};
}

// Returns NMQ_OK, NMQ_EINVAL or NMQ_EADDR. *key: the one to look for; it may lie in
// *network.
static int
read_key(unsigned kind, nmq_bytes who, network_key *network, nmq_bytes *key)
{
    char text[NETWORK_TEXT_BYTES];
    nmq_network read;

    if (kind >= NMQ_BAN_KINDS || who.len == 0) {
        return NMQ_EINVAL;
    }
    *key = who;
    if (kind != NMQ_BAN_ADDRESS) {
        return NMQ_OK;
    }
    if (who.len >= sizeof text) {
        return NMQ_EADDR;
    }
    memcpy(text, who.at, who.len);
    text[who.len] = 0;
    const char *end = nmq_network_read(text, &read);
    if (end != text + who.len || text[who.len - 1] == ',') {
        return NMQ_EADDR;
    }
    *network = key_of(read.address, read.address_len, read.prefix_bits);
    *key = bytes_of(network);
    return NMQ_OK;
}

static shard *
shard_of(nmq_bans *bans, unsigned kind, nmq_bytes key)
{
    // the map takes the low bits of the hash
    return &bans->shards[kind][nmq_bytes_hash(key) >> 60];
}

// Adds n, 1 or -1, to the counts that say where to look.
static void
count(nmq_bans *bans, unsigned kind, nmq_bytes key, uint32_t n)
{
    if (kind == NMQ_BAN_ADDRESS) {
        (void) __atomic_add_fetch(prefix_count(bans, key.at[0], key.at[1]), n,
                                  __ATOMIC_RELEASE);
    }
    (void) __atomic_add_fetch(&bans->counts[kind], n, __ATOMIC_RELEASE);
}

int
nmq_bans_put(nmq_bans *bans, unsigned kind, nmq_bytes who, int64_t until_ms)
{
    network_key network;
    nmq_bytes key;
    int rv = read_key(kind, who, &network, &key);

    if (rv != NMQ_OK) {
        return rv;
    }
    ban *made = nmq_zalloc(sizeof *made + key.len);
    if (made == NULL) {
        return NMQ_ENOMEM;
    }
    made->until_ms = until_ms != 0 ? until_ms : INT64_MAX;
    made->len = key.len;
    memcpy(made->key, key.at, key.len);
    shard *s = shard_of(bans, kind, key);
    (void) pthread_mutex_lock(&s->lock);
    ban *before = nmq_map_get(&s->bans, key);
    rv = nmq_map_put(&s->bans, (nmq_bytes){made->key, made->len}, made);
    if (rv == NMQ_OK && before == NULL) {
        count(bans, kind, key, 1);
    }
    (void) pthread_mutex_unlock(&s->lock);
    nmq_free(rv == NMQ_OK ? before : made);
    return rv;
}

int
nmq_bans_del(nmq_bans *bans, unsigned kind, nmq_bytes who)
{
    network_key network;
    nmq_bytes key;

    if (read_key(kind, who, &network, &key) != NMQ_OK) {
        return NMQ_ENOENT;
    }
    shard *s = shard_of(bans, kind, key);
    (void) pthread_mutex_lock(&s->lock);
    ban *before = nmq_map_del(&s->bans, key);
    if (before != NULL) {
        count(bans, kind, key, UINT32_MAX);
    }
    (void) pthread_mutex_unlock(&s->lock);
    nmq_free(before);
    return before != NULL ? NMQ_OK : NMQ_ENOENT;
}

uint32_t
nmq_bans_count(const nmq_bans *bans)
{
    uint32_t sum = 0;

    for (unsigned kind = 0; kind < NMQ_BAN_KINDS; kind++) {
        sum += __atomic_load_n(&bans->counts[kind], __ATOMIC_ACQUIRE);
    }
    return sum;
}

static bool
has(nmq_bans *bans, unsigned kind, nmq_bytes key, int64_t now_ms)
{
    shard *s = shard_of(bans, kind, key);

    (void) pthread_mutex_lock(&s->lock);
    const ban *found = nmq_map_get(&s->bans, key);
    bool banned = found != NULL && now_ms < found->until_ms;
    (void) pthread_mutex_unlock(&s->lock);
    return banned;
}

bool
nmq_bans_has(nmq_bans *bans, enum nmq_ban_kind kind, nmq_bytes who, int64_t now_ms)
{
    return __atomic_load_n(&bans->counts[kind], __ATOMIC_ACQUIRE) != 0 && who.len != 0 &&
           has(bans, kind, who, now_ms);
}

bool
nmq_bans_has_peer(nmq_bans *bans, const nmq_peer *peer, int64_t now_ms)
{
    const unsigned len = peer->address_len;

    if (__atomic_load_n(&bans->counts[NMQ_BAN_ADDRESS], __ATOMIC_ACQUIRE) == 0 ||
        len == 0) {
        return false;
    }
    for (unsigned bits = 0; bits <= 8 * len; bits++) {
        if (__atomic_load_n(prefix_count(bans, len, bits), __ATOMIC_ACQUIRE) != 0) {
            network_key key = key_of(peer->address, len, bits);
            if (has(bans, NMQ_BAN_ADDRESS, bytes_of(&key), now_ms)) {
                return true;
            }
        }
    }
    return false;
}
