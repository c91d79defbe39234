#include "disk_memory.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILES_MAX = 1024,
    MADE_MAX = 16384,
    SECTOR_BYTES = 512,
    NAME_BYTES = 32,
    CHANGES_MAX = 64
};

// A file, named or not.
typedef struct {
    uint8_t *now;
    uint8_t *safe; // what a cut cannot take away; len bytes of it, zeros at first
    size_t len;
} inode;

typedef struct {
    char name[NAME_BYTES];
    int file; // -1: free
} entry;

// A change of names: `to` is that file, and there is no `from` any more.
typedef struct {
    char from[NAME_BYTES];
    char to[NAME_BYTES];
    int file;
} change;

struct test_disk {
    nmq_disk base; // first
    pthread_mutex_t lock;
    inode files[MADE_MAX];
    int file_count;
    entry names[FILES_MAX];
    entry safe_names[FILES_MAX];
    change changes[CHANGES_MAX];
    uint32_t change_count;
    uint64_t room;
    uint32_t ops; // atomic
    uint32_t fail_at;
    uint32_t die_at; // 0: never
    uint32_t sync_us;
    int fail_error;
    bool lying;
    bool held;
};

static test_disk *
disk_of(nmq_disk *disk)
{
    return (test_disk *) (void *) disk;
}

// Counts an operation. Returns the errno with which it fails, or 0.
static int
count(test_disk *d)
{
    uint32_t op = __atomic_add_fetch(&d->ops, 1, __ATOMIC_RELAXED);

    if (d->die_at != 0 && op >= d->die_at) {
        return EIO;
    }
    return op == d->fail_at ? d->fail_error : 0;
}

static entry *
find(entry *names, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (names[i].file >= 0 && strcmp(names[i].name, name) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static void
set_name(entry *names, const char *name, int file)
{
    entry *at = find(names, name);

    for (int i = 0; i < FILES_MAX && at == NULL; i++) {
        at = names[i].file < 0 ? &names[i] : NULL;
    }
    if (at == NULL) {
        abort(); // more files than a test may have
    }
    (void) snprintf(at->name, sizeof at->name, "%s", name);
    at->file = file;
}

static void
apply(entry *names, const change *c)
{
    entry *from = c->from[0] != 0 ? find(names, c->from) : NULL;

    if (from != NULL) {
        from->file = -1;
    }
    if (c->to[0] != 0) {
        set_name(names, c->to, c->file);
    }
}

static void
note_change(test_disk *d, const char *from, const char *to, int file)
{
    assert(d->change_count < CHANGES_MAX);
    change *c = &d->changes[d->change_count++];
    (void) snprintf(c->from, sizeof c->from, "%s", from);
    (void) snprintf(c->to, sizeof c->to, "%s", to);
    c->file = file;
    apply(d->names, c);
}

static void
resize(inode *file, size_t len)
{
    file->now = realloc(file->now, len);
    file->safe = realloc(file->safe, len);
    assert(file->now != NULL && file->safe != NULL);
    memset(file->now + file->len, 0, len - file->len);
    memset(file->safe + file->len, 0, len - file->len);
    file->len = len;
}

static uint64_t
total(const test_disk *d)
{
    uint64_t bytes = 0;

    for (int i = 0; i < FILES_MAX; i++) {
        bytes += d->names[i].file >= 0 ? d->files[d->names[i].file].len : 0;
    }
    return bytes;
}

// --- the table

static int
list(nmq_disk *disk, void (*fn)(void *arg, const char *name), void *arg)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    for (int i = 0; i < FILES_MAX && error == 0; i++) {
        if (d->names[i].file >= 0) {
            fn(arg, d->names[i].name);
        }
    }
    return error;
}

static int
open_file(nmq_disk *disk, const char *name, bool make, int *file)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    if (error != 0) {
        return error;
    }
    (void) pthread_mutex_lock(&d->lock);
    const entry *known = find(d->names, name);
    if (make) {
        if (d->file_count == MADE_MAX) {
            abort(); // more files than a test may make
        }
        *file = d->file_count++;
        note_change(d, "", name, *file);
    } else if (known != NULL) {
        *file = known->file;
    } else {
        error = ENOENT;
    }
    (void) pthread_mutex_unlock(&d->lock);
    return error;
}

static int
size(nmq_disk *disk, int file, uint64_t *bytes)
{
    test_disk *d = disk_of(disk);

    *bytes = d->files[file].len;
    return count(d);
}

static int
read_file(nmq_disk *disk, int file, uint64_t at, uint8_t *to, size_t len)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    if (error == 0 && at + len <= d->files[file].len) {
        memcpy(to, d->files[file].now + at, len);
    } else if (error == 0) {
        error = EIO;
    }
    return error;
}

static int
write_part(test_disk *d, inode *file, uint64_t at, nmq_bytes part)
{
    if (at + part.len > file->len) {
        if (d->room != 0 && total(d) + at + part.len - file->len > d->room) {
            return ENOSPC;
        }
        resize(file, (size_t) at + part.len);
    }
    if (part.len > 0) {
        memcpy(file->now + at, part.at, part.len);
    }
    return 0;
}

static int
write_file(nmq_disk *disk, int file, uint64_t at, const nmq_bytes *parts, int part_count)
{
    test_disk *d = disk_of(disk);
    int failed = count(d);
    bool dead = d->die_at != 0 && d->ops >= d->die_at;
    int error = 0;

    assert(part_count >= 1 && part_count <= NMQ_DISK_PARTS_MAX);
    (void) pthread_mutex_lock(&d->lock);
    for (int i = 0; i < part_count && error == 0; i++) {
        nmq_bytes part = parts[i];
        part.len = dead ? 0 : failed != 0 ? part.len / 2 : part.len;
        error = write_part(d, &d->files[file], at, part);
        at += parts[i].len;
    }
    (void) pthread_mutex_unlock(&d->lock);
    return failed != 0 ? failed : error;
}

static int
sync_file(nmq_disk *disk, int file)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    if (d->sync_us != 0) {
        (void) usleep(d->sync_us);
    }
    (void) pthread_mutex_lock(&d->lock);
    inode *f = &d->files[file];
    if (error == 0 && !d->lying && f->len > 0) {
        memcpy(f->safe, f->now, f->len);
    }
    (void) pthread_mutex_unlock(&d->lock);
    return error;
}

static void
close_file(nmq_disk *disk, int file)
{
    (void) disk;
    (void) file;
}

static int
rename_file(nmq_disk *disk, const char *from, const char *to)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    if (error == 0) {
        (void) pthread_mutex_lock(&d->lock);
        const entry *known = find(d->names, from);
        assert(known != NULL);
        note_change(d, from, to, known->file);
        (void) pthread_mutex_unlock(&d->lock);
    }
    return error;
}

static int
remove_file(nmq_disk *disk, const char *name)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    if (error == 0) {
        (void) pthread_mutex_lock(&d->lock);
        error = find(d->names, name) != NULL ? 0 : ENOENT;
        if (error == 0) {
            note_change(d, name, "", -1);
        }
        (void) pthread_mutex_unlock(&d->lock);
    }
    return error;
}

static int
sync_names(nmq_disk *disk)
{
    test_disk *d = disk_of(disk);
    int error = count(d);

    if (error == 0) {
        (void) pthread_mutex_lock(&d->lock);
        memcpy(d->safe_names, d->names, sizeof d->names);
        d->change_count = 0;
        (void) pthread_mutex_unlock(&d->lock);
    }
    return error;
}

static int
claim(nmq_disk *disk, bool claims)
{
    return claims && disk_of(disk)->held ? EWOULDBLOCK : 0;
}

static const nmq_disk_ops ops = {
    .list = list,
    .open = open_file,
    .size = size,
    .read = read_file,
    .write = write_file,
    .sync = sync_file,
    .close = close_file,
    .rename = rename_file,
    .remove = remove_file,
    .sync_names = sync_names,
    .claim = claim,
};

// --- for tests

test_disk *
test_disk_new(void)
{
    test_disk *d = calloc(1, sizeof *d);

    assert(d != NULL);
    d->base.ops = &ops;
    (void) pthread_mutex_init(&d->lock, NULL);
    for (int i = 0; i < FILES_MAX; i++) {
        d->names[i].file = d->safe_names[i].file = -1;
    }
    return d;
}

test_disk *
test_disk_copy(test_disk *disk)
{
    test_disk *copy = test_disk_new();

    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->names[i].file < 0) {
            continue;
        }
        const inode *from = &disk->files[disk->names[i].file];
        inode *to = &copy->files[copy->file_count];
        if (from->len > 0) {
            resize(to, from->len);
            memcpy(to->now, from->now, from->len);
            memcpy(to->safe, from->now, from->len);
        }
        set_name(copy->names, disk->names[i].name, copy->file_count++);
    }
    memcpy(copy->safe_names, copy->names, sizeof copy->names);
    return copy;
}

void
test_disk_free(test_disk *disk)
{
    for (int i = 0; i < disk->file_count; i++) {
        free(disk->files[i].now);
        free(disk->files[i].safe);
    }
    (void) pthread_mutex_destroy(&disk->lock);
    free(disk);
}

nmq_disk *
test_disk_of(test_disk *disk)
{
    return &disk->base;
}

static void
tear(uint8_t *now, const uint8_t *safe, size_t len, uint8_t choice)
{
    size_t half = len / 2;

    switch (choice % 4) {
    case 0: memcpy(now, safe, len); break;
    case 2: memcpy(now + half, safe + half, len - half); break;
    case 3: memcpy(now, safe, half); break;
    default: break;
    }
}

void
test_disk_cut(test_disk *disk, const uint8_t *choices, size_t len, uint32_t names)
{
    size_t choice = 0;

    (void) pthread_mutex_lock(&disk->lock);
    for (int i = 0; i < disk->file_count; i++) {
        inode *f = &disk->files[i];
        for (size_t at = 0; at < f->len; at += SECTOR_BYTES) {
            size_t sector = f->len - at < SECTOR_BYTES ? f->len - at : SECTOR_BYTES;
            if (memcmp(f->now + at, f->safe + at, sector) != 0) {
                tear(f->now + at, f->safe + at, sector, choices[choice++ % len]);
                memcpy(f->safe + at, f->now + at, sector);
            }
        }
    }
    for (uint32_t i = 0; i < names && i < disk->change_count; i++) {
        apply(disk->safe_names, &disk->changes[i]);
    }
    memcpy(disk->names, disk->safe_names, sizeof disk->names);
    disk->change_count = 0;
    disk->die_at = 0;
    (void) pthread_mutex_unlock(&disk->lock);
}

uint32_t
test_disk_op_count(const test_disk *disk)
{
    return __atomic_load_n(&disk->ops, __ATOMIC_RELAXED);
}

void
test_disk_fail(test_disk *disk, uint32_t op, int error)
{
    disk->fail_at = op;
    disk->fail_error = error;
}

void
test_disk_die(test_disk *disk, uint32_t op)
{
    disk->die_at = op;
}

void
test_disk_set_room(test_disk *disk, uint64_t bytes)
{
    disk->room = bytes;
}

void
test_disk_set_held(test_disk *disk, bool held)
{
    disk->held = held;
}

void
test_disk_set_lying(test_disk *disk, bool lying)
{
    disk->lying = lying;
}

void
test_disk_set_pace(test_disk *disk, uint32_t sync_us)
{
    disk->sync_us = sync_us;
}

uint32_t
test_disk_files(const test_disk *disk)
{
    uint32_t files = 0;

    for (int i = 0; i < FILES_MAX; i++) {
        files += disk->names[i].file >= 0;
    }
    return files;
}

const char *
test_disk_name(const test_disk *disk, uint32_t n)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->names[i].file >= 0 && n-- == 0) {
            return disk->names[i].name;
        }
    }
    return NULL;
}

uint8_t *
test_disk_bytes(test_disk *disk, const char *name, size_t *len)
{
    const entry *known = find(disk->names, name);

    if (known == NULL) {
        return NULL;
    }
    *len = disk->files[known->file].len;
    return disk->files[known->file].now;
}
