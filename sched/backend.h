/* The kinds of devices that are built in, beside CPUs. */
#ifndef TGI_SCHED_BACKEND_H
#define TGI_SCHED_BACKEND_H

#include "mem/device.h"

struct tgi_backend {
    const char *kind;
    tgi_devices_open_fn open;
};
#define TGI_N_BACKENDS 1
extern const struct tgi_backend tgi_backends[TGI_N_BACKENDS];

#endif
