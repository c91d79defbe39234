#include "base/descriptors.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

bool
nmq_descriptors_left(unsigned keep)
{
    struct rlimit bound;
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    (void) close(fd);
    return getrlimit(RLIMIT_NOFILE, &bound) != 0 || bound.rlim_cur == RLIM_INFINITY ||
           (rlim_t) fd + keep < bound.rlim_cur;
}
