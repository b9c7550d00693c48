/* Mapping of the memory that host and runner share. */
#include "worker-host/page.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum synk_status page_map(int page_fd, int rings_fd, struct page **ret_page, uint8_t **ret_rings,
                          struct synk_error *error)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    if (page == MAP_FAILED)
        return status_fail(error, SYNK_IO, "cannot map a runner's page: %s", strerror(errno));
    void *rings = mmap(NULL, RINGS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, rings_fd, 0);
    if (rings == MAP_FAILED) {
        int problem = errno;
        munmap(page, PAGE_BYTES);
        return status_fail(error, SYNK_IO, "cannot map a runner's rings: %s", strerror(problem));
    }
    *ret_page = page;
    *ret_rings = rings;
    return SYNK_OK;
}

void page_unmap(struct page *page, uint8_t *rings)
{
    if (page)
        munmap(page, PAGE_BYTES);
    if (rings)
        munmap(rings, RINGS_BYTES);
}
