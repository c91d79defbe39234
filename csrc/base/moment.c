#include "base/moment.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static uint8_t
read_boot(uint8_t *to, size_t cap)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, to, cap) : 0;

    if (fd >= 0) {
        (void) close(fd);
    }
    return n > 0 ? (uint8_t) n : 0;
}

nmq_moment
nmq_moment_now(void)
{
    nmq_moment now = {.wall_ms = nmq_clock_wall_ms(), .clock_ms = nmq_clock_now_ms()};

    now.boot_len = read_boot(now.boot, sizeof now.boot);
    return now;
}

int64_t
nmq_moment_to_wall(const nmq_moment *now, int64_t due_ms)
{
    return due_ms == 0 ? 0 : due_ms - now->clock_ms + now->wall_ms;
}

bool
nmq_moment_is_one_clock(const nmq_moment *written, const nmq_moment *now)
{
    return written->boot_len > 0 && written->boot_len == now->boot_len &&
           memcmp(written->boot, now->boot, now->boot_len) == 0 &&
           now->clock_ms >= written->clock_ms;
}

int64_t
nmq_moment_to_due(const nmq_moment *written, const nmq_moment *now, int64_t at_ms)
{
    if (at_ms == 0) {
        return 0;
    }
    int64_t wall_ms = now->wall_ms > written->wall_ms ? now->wall_ms : written->wall_ms;
    int64_t due_ms = nmq_moment_is_one_clock(written, now)
                         ? at_ms - written->wall_ms + written->clock_ms
                         : at_ms - wall_ms + now->clock_ms;
    return due_ms > 1 ? due_ms : 1;
}
