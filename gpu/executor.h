/* The kernel that runs clusters (gpu/resident/run.cuh), on the devices that need it; and that of services with bodies.
 *
 * There are two.  The embedded one has every built-in body (kernels/resident.h), so it needs as many registers as the greediest of
 * them.  A generated one has the bodies that a cluster uses, users' functions among them: one text, compiled by NVRTC in about
 * half a second and kept on disk like other kernels, and in memory until the devices are closed.  One text is enough: bodies are sources
 * that are included, so the compiler sees all of it at once, and linking intermediate code by nvJitLink would give the same code for
 * another library to be installed.
 *
 * A cluster that is a dynamic program gets a generated one of another text (gpu/resident/run_dynamic.cuh), one that is on several
 * devices too (run_spread.cuh), on each of them.
 *
 * A cluster gets a generated one if NVRTC is there.  It gets the embedded one otherwise, or if $TGRAPH_RESIDENT_KERNEL is
 * "embedded" rather than "generated", and that cannot be if it has users' functions or notes times.
 *
 * The thread that submits calls all but the last. */
#ifndef TGI_GPU_EXECUTOR_H
#define TGI_GPU_EXECUTOR_H

#include "gpu/device.h"
#include "mem/cluster.h"
#include "mem/stay.h"

/* What there is for a program on a device; the embedded kernel says.  TG_E_INVALID, here and below: $TGRAPH_RESIDENT_KERNEL is neither. */
int tgi_cuda_executor_room(struct tgi_cuda *cuda, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err);

struct tgi_cuda_executor {
    CUfunction run;
    uint32_t least_shared_bytes; /* so that no multiprocessor has room for two blocks */
};
/* The one for a cluster, whose `kernel` is filled in.  TG_E_UNSUPPORTED: there is none, and why; TG_E_COMPILE. */
int tgi_cuda_executor_find(struct tgi_cuda *cuda, uint32_t device, struct tgi_cluster *cluster,
                           struct tgi_cuda_executor *executor_p, struct tg_error *err);

/* Whether one kernel on each of several devices can be the program of a cluster; if not, *why_p, a constant. */
bool tgi_cuda_executor_spreads(struct tgi_cuda *cuda, const uint32_t *devices, uint32_t n, const char **why_p);

/* Whether that compiles nothing, as far as can be told without doing it.  Of clusters that note no times; false of others. */
bool tgi_cuda_executor_is_compiled(struct tgi_cuda *cuda, uint32_t device, const struct tgi_cluster *cluster);

/* The kernel of a service with bodies (gpu/service/bodies.cuh), which lasts until the executors are closed.  It is always generated:
 * TG_E_NO_LIBRARY, TG_E_COMPILE. */
int tgi_cuda_executor_stay(struct tgi_cuda *cuda, uint32_t device, const struct tgi_stay_shape *shape, CUfunction *function_p,
                           struct tg_error *err);

/* Nothing of them may be in flight. */
void tgi_cuda_executor_close(struct tgi_cuda *cuda);

#endif
