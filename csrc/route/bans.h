// bans.h - who may not come in: client identifiers, user names and networks, each until a
// time of the wall clock.
//
//     put ADDRESS 192.0.2.0/24, until 12:00     192.0.2.7 comes: for each length that a
//     put CLIENT_ID "pump"                      network has (/24), one look-up
//
// Owner    the bans own copies of what they are given.
// Threads  thread-safe; each shard has a lock, which is never held with another.
// Cost     a look-up is constant on average, of an address as many as networks have
//          different lengths; nobody is banned: a load. A table that grows moves a
//          sixteenth of the entries of its kind.
#pragma once
#include "base/bytes.h"
#include "base/peer.h"
#include "route/ban_kind.h"

typedef struct nmq_bans nmq_bans;

// Returns NULL when memory is out.
nmq_bans *nmq_bans_new(void);
void nmq_bans_free(nmq_bans *bans); // takes NULL

// Bans until that time, milliseconds since 1970, in place of what was said before; 0: for
// ever. Returns NMQ_OK, NMQ_EINVAL for no kind or an empty `who`, NMQ_EADDR for what is no
// network, or NMQ_ENOMEM.
int nmq_bans_put(nmq_bans *bans, unsigned kind, nmq_bytes who, int64_t until_ms);

// Takes the ban back, also one that is over. Returns NMQ_OK, or NMQ_ENOENT.
int nmq_bans_del(nmq_bans *bans, unsigned kind, nmq_bytes who);

// How many there are, with those that are over and were not taken back.
uint32_t nmq_bans_count(const nmq_bans *bans);

// Whether that client identifier or user name is banned at that time; an empty one is not.
bool nmq_bans_has(nmq_bans *bans, enum nmq_ban_kind kind, nmq_bytes who, int64_t now_ms);

// Whether the peer is in a network that is banned; one without an address is not.
bool nmq_bans_has_peer(nmq_bans *bans, const nmq_peer *peer, int64_t now_ms);
