// raw_log.c - what the disk can do: writes 4 KiB and makes them safe, again and again, in a
// file that is there already.
//
//     raw_log FILE SECONDS      times a second, on stdout
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, PAGES = 1024 };

static double
now_s(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
    static const char page[PAGE_BYTES];
    int file = argc == 3 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    unsigned count = 0;

    for (int i = 0; i < PAGES; i++) {
        if (file < 0 || pwrite(file, page, sizeof page, (off_t) i * PAGE_BYTES) < 0) {
            perror("raw_log");
            return 2;
        }
    }
    if (fsync(file) != 0) {
        return 2;
    }
    double begun = now_s(), end = begun + atof(argv[2]);
    for (; now_s() < end; count++) {
        off_t at = (off_t) (count % PAGES) * PAGE_BYTES;
        if (pwrite(file, page, sizeof page, at) < 0 || fdatasync(file) != 0) {
            return 2;
        }
    }
    printf("%.1f\n", count / (now_s() - begun));
    return 0;
}
