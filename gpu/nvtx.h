/* Ranges for profilers (NVTX), without its headers.
 *
 * NVTX is a convention: a profiler names a library in $NVTX_INJECTION64_PATH, which is loaded, asked to initialise
 * itself, and writes the functions it wants called into a table.  Where there is no such variable and TGRAPH_NVTX is 1,
 * libnvToolsExt.so.1, which older profilers hook, has the same functions. */
#ifndef TGI_GPU_NVTX_H
#define TGI_GPU_NVTX_H

#include "graph/tgraph.h"

struct tgi_nvtx {
    int (*push)(const char *name); /* on the calling thread */
    int (*pop)(void);
};

/* The first call that returns 0 looks, for the whole process.  *listener_p NULL: nobody listens.  TG_E_INVALID: TGRAPH_NVTX is neither 0
 * nor 1.  Any thread. */
int tgi_nvtx_find(const struct tgi_nvtx **listener_p, struct tg_error *err);
/* Who was found; NULL: nobody, or nobody has looked. */
const struct tgi_nvtx *tgi_nvtx_listener(void);

#endif
