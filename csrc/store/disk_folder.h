// disk_folder.h - a folder of this machine as a disk: one process has it, and its user
// alone may read it.
//
//     lock      a lock of its first byte: of the process that has the folder
//     the folder itself, flock: shared by who reads it beside that process, exclusive while
//     files are removed or renamed
//
// Owner    the caller: nmq_disk_folder_close.
// Threads  one at a time.
#pragma once
#include "store/disk.h"

// Opens the folder. If there is none in its parent it is made, and the parent flushed: its
// name outlives a power cut before anything in it does. Returns NMQ_OK;
// NMQ_ECLOSED: another process has it; NMQ_EACCESS, NMQ_ENOENT, NMQ_ENOSPC, NMQ_ENOMEM, or
// NMQ_EIO for what is left. *error is the errno.
int nmq_disk_folder_open(const char *path, nmq_disk **out, int *error);

// Opens it to read, beside a process that has it: files that are there stay until it is
// closed. What would change something returns EROFS. *in_use: another process has the
// folder. Returns as nmq_disk_folder_open, but makes nothing.
int nmq_disk_folder_look(const char *path, nmq_disk **out, bool *in_use, int *error);

// Every file of it is closed. Takes NULL.
void nmq_disk_folder_close(nmq_disk *disk);
