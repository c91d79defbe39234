// crc32c.h - the checksum of what is written to a disk: CRC-32C, as iSCSI and ext4 have it.
//
// Threads  thread-safe.
// Cost     8 bytes an instruction where the processor has one for it, about 0.1 ns a byte;
//          else about 1 ns a byte.
// Source   RFC 3720, B.4.
#pragma once
#include "base/bytes.h"

// The checksum of what came before (crc; 0: nothing) and of these bytes.
uint32_t nmq_crc32c(uint32_t crc, nmq_bytes in);

// The same without that instruction.
uint32_t nmq_crc32c_by_table(uint32_t crc, nmq_bytes in);
