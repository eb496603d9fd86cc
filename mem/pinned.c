/* See pinned.h. */
#include "mem/pinned.h"

#include <pthread.h>
#include <stdlib.h>

#include "graph/error.h"
#include "mem/store.h"

enum { ALIGN = 4096, KEPT_SHARE = 16 };
#define LEAST_RESERVATION ((uint64_t)2 << 20) /* a huge page; small graphs need no more */

struct tgi_pinned {
    struct tgi_devices *devices;
    struct tgi_pool *pool; /* under lock */
    uint64_t keep_bytes;
    uint64_t n_withheld; /* blocks that were given back after the devices were lost; under lock */
    pthread_mutex_t lock;
};

static int reserve(void *user, uint64_t bytes, uint64_t *address_p, struct tg_error *err)
{
    struct tgi_devices *ds = ((struct tgi_pinned *)user)->devices;
    void *ptr = NULL;
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    rc = ds->ops->host_alloc(ds, bytes, &ptr, err);
    *address_p = (uint64_t)(uintptr_t)ptr;
    ds->ops->detach(ds);
    return rc;
}

static void unreserve(void *user, uint64_t address, uint64_t bytes)
{
    struct tgi_devices *ds = ((struct tgi_pinned *)user)->devices;
    (void)bytes;
    bool is_attached = ds->ops->attach(ds, NULL) == 0;
    ds->ops->host_free(ds, (void *)(uintptr_t)address);
    if (is_attached)
        ds->ops->detach(ds);
}

int tgi_pinned_create(struct tgi_devices *devices, uint64_t keep_bytes, struct tgi_pinned **pinned_p, struct tg_error *err)
{
    struct tgi_pinned *p = calloc(1, sizeof *p);
    if (!p)
        return tgi_error_memory(err, "creating a pool of pinned memory");
    p->devices = devices;
    p->keep_bytes = keep_bytes ? keep_bytes : tgi_machine_bytes() / KEPT_SHARE;
    struct tgi_pool_source source = {reserve, unreserve, p};
    struct tgi_pool_options options = {.chunk_bytes = LEAST_RESERVATION, .align_bytes = ALIGN, .name = "pinned memory"};
    int rc = tgi_pool_create(&source, &options, &p->pool, err);
    if (rc) {
        free(p);
        return rc;
    }
    pthread_mutex_init(&p->lock, NULL);
    *pinned_p = p;
    return 0;
}

void tgi_pinned_destroy(struct tgi_pinned *p)
{
    struct tgi_pool_stats stats;
    if (!p)
        return;
    tgi_pinned_stats(p, &stats);
    if (stats.n_blocks > p->n_withheld)
        return;
    tgi_pool_destroy(p->pool);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int tgi_pinned_alloc(struct tgi_pinned *p, size_t bytes, void **ptr_p, struct tg_error *err)
{
    uint64_t address = 0;
    pthread_mutex_lock(&p->lock);
    int rc = tgi_pool_alloc(p->pool, bytes, &address, err);
    if (rc == TG_E_NO_MEMORY) { /* what is kept may be in pieces that are too small */
        tgi_pool_trim(p->pool, 0);
        rc = tgi_pool_alloc(p->pool, bytes, &address, err);
    }
    pthread_mutex_unlock(&p->lock);
    *ptr_p = (void *)(uintptr_t)address;
    return rc;
}

void tgi_pinned_free(struct tgi_pinned *p, void *ptr)
{
    if (!ptr)
        return;
    pthread_mutex_lock(&p->lock);
    if (tgi_devices_are_lost(p->devices)) {
        p->n_withheld++;
    } else {
        tgi_pool_free(p->pool, (uint64_t)(uintptr_t)ptr);
        tgi_pool_trim(p->pool, p->keep_bytes);
    }
    pthread_mutex_unlock(&p->lock);
}

void tgi_pinned_stats(struct tgi_pinned *p, struct tgi_pool_stats *stats_p)
{
    pthread_mutex_lock(&p->lock);
    tgi_pool_stats(p->pool, stats_p);
    pthread_mutex_unlock(&p->lock);
}
