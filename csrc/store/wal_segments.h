// wal_segments.h - the files of a write-ahead log: numbered, each of one size, written with
// zeros before anything else is, so that a commit changes no metadata.
//
//     000007.seg 000008.seg 000009.seg   000010.seg
//     └─ first   with commits └─ active  └─ last: zeros, or what an older number has left
//
// What the oldest file held is needed no more at some time: then it gets the next number.
//
// Owner    the write-ahead log; the disk is the caller's.
// Threads  one at a time.
#pragma once
#include "store/disk.h"

typedef struct {
    uint32_t number;
    uint64_t begins; // the first commit that begins in it or later, once it is in use
    uint64_t bytes;
} nmq_wal_segment;

typedef struct {
    nmq_disk *disk;
    nmq_wal_segment *at; // numbers without a gap
    uint32_t count;
    uint32_t cap;
    uint64_t segment_bytes; // of the next one; a multiple of NMQ_WAL_PAGE_BYTES
    uint64_t bytes_max;     // NMQ_LIVE: of all
    int error;              // errno of what has failed; 0: nothing
} nmq_wal_segments;

enum { NMQ_WAL_NAME_BYTES = 16 };

// The name of its file.
void nmq_wal_segment_name(uint32_t number, char out[NMQ_WAL_NAME_BYTES]);

// Finds the files, and removes what was half made. Returns NMQ_OK, NMQ_ENOMEM, NMQ_EIO, or
// NMQ_ENOENT: all were found, but one is missing between two others; *missing, which was
// 0, is the number of the first such.
int nmq_wal_segments_find(nmq_wal_segments *all, uint32_t *missing);
void nmq_wal_segments_fini(nmq_wal_segments *all);

// Bytes of all of them.
uint64_t nmq_wal_segments_bytes(const nmq_wal_segments *all);

// How many more there may be within bytes_max.
uint64_t nmq_wal_segments_room(const nmq_wal_segments *all);

// Makes one more. Returns NMQ_OK; NMQ_ENOSPC: there is no room on the disk or within
// bytes_max; NMQ_ENOMEM or NMQ_EIO. What was half made is removed.
int nmq_wal_segments_add(nmq_wal_segments *all);

// The first one is needed no more: it becomes the last, or is removed. Returns NMQ_OK or
// NMQ_EIO.
int nmq_wal_segments_free_first(nmq_wal_segments *all, bool reuse);
