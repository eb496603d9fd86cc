/* Copies between a device and memory of the program's that is not pinned: through a few pinned buffers, a chunk at a time,
 * so that one chunk is on its way while the next is being filled or emptied.  Helpers share the work of filling and
 * emptying, as one core moves less than a link does.
 *
 * The driver would do the same with one core and smaller buffers, and like the driver a copy waits: to a device until all
 * has been read, to the host until all is there, and so for the lane.
 *
 * One for the devices of a kind; all calls by the thread that enqueues. */
#ifndef TGI_MEM_STAGING_H
#define TGI_MEM_STAGING_H

#include "mem/device.h"

/* Smaller copies go to the driver as they are. */
#define TGI_STAGING_LEAST_BYTES ((uint64_t)256 << 10)

struct tgi_staging;

/* Buffers and helpers are made when first needed.  n_helpers: TG_NONE: by the number of processors. */
enum { TGI_STAGING_HELPERS = 3 }; /* at most */
int tgi_staging_create(struct tgi_devices *devices, uint32_t n_helpers, struct tgi_staging **staging_p, struct tg_error *err);
/* Nothing of it is under way.  NULL: nothing. */
void tgi_staging_destroy(struct tgi_staging *staging);
/* Enqueues a transfer, one side of which is the host, on a lane of the device.  After an error nothing of it is in the lane. */
int tgi_staging_copy(struct tgi_staging *staging, uint32_t lane, const struct tgi_transfer *transfer, struct tg_error *err);
/* Bytes that were copied this way. */
uint64_t tgi_staging_bytes(const struct tgi_staging *staging);

#endif
