/* Pinned host memory for the tiles of runs, from a pool that lasts as long as the runtime: pinning costs about as much as copying
 * the same bytes a few times over, so the next run takes what an earlier one has given back.
 *
 * Thread-safe: runs are made and destroyed by any thread. */
#ifndef TGI_MEM_PINNED_H
#define TGI_MEM_PINNED_H

#include "mem/device.h"
#include "mem/pool.h"

struct tgi_pinned;

/* Reserves nothing yet.  keep_bytes: what stays pinned though nobody uses it; 0: a sixteenth of the machine's memory. */
int tgi_pinned_create(struct tgi_devices *devices, uint64_t keep_bytes, struct tgi_pinned **pinned_p, struct tg_error *err);
/* Unpins all of it, unless a block is still in use: then a device may be at it, and the memory is left to that device.  NULL:
 * nothing. */
void tgi_pinned_destroy(struct tgi_pinned *pinned);
/* Aligned to a page; contents are undefined.  TG_E_NO_MEMORY once nothing unused is left either. */
int tgi_pinned_alloc(struct tgi_pinned *pinned, size_t bytes, void **ptr_p, struct tg_error *err);
/* No device will touch it again, unless the devices are lost, which may still do what they were told: then nobody gets the
 * block before the runtime ends. */
void tgi_pinned_free(struct tgi_pinned *pinned, void *ptr);
void tgi_pinned_stats(struct tgi_pinned *pinned, struct tgi_pool_stats *stats_p);

#endif
