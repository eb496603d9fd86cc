/* Ranges for profilers (NVTX), without its headers.
 *
 * NVTX is a convention: a profiler names a library in $NVTX_INJECTION64_PATH, which is loaded, asked to initialise
 * itself, and writes the functions it wants called into a table.  Where there is no such variable and TGRAPH_NVTX is 1,
 * libnvToolsExt.so.1, which older profilers hook, has the same functions. */
#ifndef TGI_GPU_NVTX_H
#define TGI_GPU_NVTX_H

struct tgi_nvtx {
    int (*push)(const char *name); /* on the calling thread */
    int (*pop)(void);
};

/* NULL: nobody listens.  The first call looks, for the whole process.  Any thread. */
const struct tgi_nvtx *tgi_nvtx_listener(void);

#endif
