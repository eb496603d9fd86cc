/* Compiled code on the stand-in driver: what a shared object that the stand-in NVRTC makes exports, and what
 * the driver does with it.  An image carries it in a line "code BASE64" before the kernels it defines. */
#ifndef STANDIN_OBJECT_H
#define STANDIN_OBJECT_H

#include "tests/standin/standin.h"

/* Users' functions in resident kernels are kernels of this name and their number. */
#define STANDIN_BODY "tgk_body_"

enum { STANDIN_WARP = 32, STANDIN_MAX_SHARED = 227 << 10 };

/* The table `standin_code`, `standin_n_code` entries.  standin_prelude.hpp declares the same. */
struct standin_code {
    const char *expression; /* how the source names the kernel */
    const void *address;
    int (*call)(void **args); /* one thread; what a resident function returns, 0 of a kernel */
    unsigned n_params;
    const struct standin_param *params;
};

/* The thread that runs.  The object's variable `standin_self` points to it. */
struct standin_thread {
    unsigned thread[3], block[3], block_dim[3], grid_dim[3];
    unsigned lane, warp; /* in the block */
};

/* Registers the kernels of the rest of a line "code BASE64".  0 or a CUresult. */
int object_load(const char *base64);

#endif
