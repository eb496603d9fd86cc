/* Kernels for CUDA devices: found, compiled, loaded, launched.
 *
 * An operation has one or more ways to run (struct tgi_shape's `alternative`): a library call (blas.h), the embedded
 * module of built-in kernels, the user's own code, and several of these where the graph names several variants.  Modules are loaded on each device
 * when first needed and kept, least recently used first to go; compiled images are also kept on disk
 * (graph/kernel_cache.h), keyed by source, options, architecture and the versions of compiler and driver. */
#ifndef TGI_GPU_CODE_H
#define TGI_GPU_CODE_H

#include "gpu/device.h"

int tgi_cuda_code_table_create(struct tgi_cuda *cuda, struct tgi_cuda_code_table **table_p, struct tg_error *err);
void tgi_cuda_code_table_destroy(struct tgi_cuda *cuda, struct tgi_cuda_code_table *table);
struct tgi_cuda_modules *tgi_cuda_code_modules(const struct tgi_cuda *cuda); /* module.h */

/* Whether a kernel has a variant for CUDA devices that this build can load; asks no device. */
bool tgi_cuda_has_variant(const struct tgi_space *space, const struct tgi_op *op);

/* As the slots of struct tgi_device_ops. */
int tgi_cuda_resolve(struct tgi_devices *ds, const struct tg_graph *graph, uint32_t op, struct tgi_code **code_p,
                     char **text_p, struct tg_error *err);
void tgi_cuda_unresolve(struct tgi_devices *ds, struct tgi_code *code);
int tgi_cuda_shape(struct tgi_devices *ds, struct tgi_code *code, void *const *args, struct tgi_shape *shape_p,
                   struct tg_error *err);
uint32_t tgi_cuda_ways(struct tgi_devices *ds, const struct tgi_code *code, void *const *args, uint32_t ways_p[TGI_MAX_WAYS]);
const char *tgi_cuda_way_name(struct tgi_devices *ds, const struct tgi_code *code, uint32_t way);
int tgi_cuda_shape_way(struct tgi_devices *ds, struct tgi_code *code, uint32_t way, void *const *args,
                       struct tgi_shape *shape_p, struct tg_error *err);
int tgi_cuda_launch(struct tgi_devices *ds, uint32_t lane, struct tgi_code *code, const struct tgi_shape *shape,
                    void **args, struct tg_error *err);
/* Calls of a library use a workspace of their lane. */
bool tgi_cuda_shares_lane(struct tgi_devices *ds, const struct tgi_code *code, const struct tgi_shape *shape);
/* The function, where a launch is one of it and needs nothing but dimensions and arguments; NULL: it is more than that. */
CUfunction tgi_cuda_single_launch(const struct tgi_code *code, const struct tgi_shape *shape, uint32_t device);
/* Whether that function waits by itself for what it comes after (kernels/entry.cuh), so that it may be launched early. */
bool tgi_cuda_begins_early(const struct tgi_code *code, const struct tgi_shape *shape);
/* The kernels of decide.h on a device; TG_E_UNSUPPORTED: the driver or this build has none. */
int tgi_cuda_decide_function(struct tgi_cuda *cuda, uint32_t device, CUfunction *function_p, struct tg_error *err);
int tgi_cuda_stamp_function(struct tgi_cuda *cuda, uint32_t device, CUfunction *function_p, struct tg_error *err);
/* Those of flag.h, by name, likewise. */
int tgi_cuda_flag_function(struct tgi_cuda *cuda, uint32_t device, const char *kernel, CUfunction *function_p, struct tg_error *err);
/* The resident variant (kernels/resident.h) of a built-in kernel that is launched, or that could do what a library is called for;
 * NULL: there is none. */
struct tgi_body_row;
const struct tgi_body_row *tgi_cuda_body(const struct tgi_code *code, const struct tgi_shape *shape);
/* The same for a kernel with a resident variant of the user's: false, it has none.  The words are in the call, the rest is filled in.
 * *why_p: NULL, or why it cannot be used, a constant. */
struct tgi_resident_call;
bool tgi_cuda_user_body(const struct tgi_code *code, struct tgi_resident_call *call, const char **why_p);
/* Whether a launch is a library's call. */
bool tgi_cuda_calls_library(const struct tgi_code *code, const struct tgi_shape *shape);
struct tgi_cuda_bodies *tgi_cuda_code_bodies(const struct tgi_cuda *cuda); /* bodies.h */
int tgi_cuda_fault(struct tgi_devices *ds, uint32_t device, uint64_t *address_p, uint32_t *n_p, char *text, size_t size,
                   struct tg_error *err);

/* How many images were compiled by NVRTC, and found in the cache instead, since the devices were opened. */
struct tgi_cuda_code_stats {
    uint64_t n_compiled, n_cached;
};
void tgi_cuda_code_stats(const struct tgi_cuda *cuda, struct tgi_cuda_code_stats *stats_p);
/* One more. */
void tgi_cuda_code_count(struct tgi_cuda *cuda, bool is_cached);

#endif
