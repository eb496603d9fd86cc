/* Kernels that stay on a device until they are told to leave, as a backend of mem/device.h offers them.
 *
 * Such a kernel has a lane of its own, which no other command shares.  Nothing that may wait for the whole device is
 * called while it is there: memory is reserved before and released after.  The host learns that it has left by asking
 * (query), never by waiting; on some devices that is also what makes it start.
 *
 * Calling thread: one at a time for each kernel, attached (device.h). */
#ifndef TGI_MEM_STAY_H
#define TGI_MEM_STAY_H

#include "mem/device.h"
#include "mem/service_view.h"

struct tgi_stay; /* the backend's own */

/* What a kernel is to occupy; all blocks are resident at once, one on each multiprocessor. */
struct tgi_stay_shape {
    uint32_t n_free;       /* multiprocessors that are left to others */
    uint32_t n_blocks;     /* 0: as many as that leaves, most_blocks at most; open writes how many these are */
    uint32_t most_blocks;
    bool is_alone;         /* no multiprocessor has two of them */
    uint32_t n_warps;      /* of a block */
    uint32_t shared_bytes; /* of a block, at least */
    const uint32_t *bodies; /* what its programs call (struct tgi_resident_call), ascending and each once; the caller's */
    uint32_t n_bodies;
    bool can_keep;          /* instances of its programs, all of which call bodies */
};

struct tgi_stay_ops {
    size_t size;
    /* Loads the service's kernel and all that goes with it, so that nothing is loaded later.  TG_E_CAPACITY: so many
     * blocks are not left, or fewer than two.  TG_E_UNSUPPORTED, TG_E_NO_VARIANT; for bodies TG_E_NO_LIBRARY, TG_E_COMPILE. */
    int (*open)(struct tgi_devices *ds, uint32_t device, struct tgi_stay_shape *shape, struct tgi_stay **stay_p,
                struct tg_error *err);
    /* The kernel must have left, unless the devices are lost.  Takes NULL. */
    void (*close)(struct tgi_devices *ds, struct tgi_stay *stay);
    /* In its lane, before a launch: bytes of the device's memory are zeroed, are copied from the host's, which is read
     * before it returns. */
    int (*zero)(struct tgi_devices *ds, struct tgi_stay *stay, uint64_t address, uint64_t bytes, struct tg_error *err);
    int (*upload)(struct tgi_devices *ds, struct tgi_stay *stay, uint64_t address, const void *from, uint64_t bytes,
                  struct tg_error *err);
    int (*launch)(struct tgi_devices *ds, struct tgi_stay *stay, const struct tgi_service_view *view, struct tg_error *err);
    /* 1: everything of its lane is done, 0: not yet, negative: a status. */
    int (*query)(struct tgi_devices *ds, struct tgi_stay *stay, struct tg_error *err);
};

#endif
