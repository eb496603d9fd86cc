/* Users' functions that are bodies of resident tasks: variants "on": "resident" of kernels (graph/tgraph_resident.h).
 *
 * Each gets a number beyond those of the built-in bodies (kernels/resident.h), which stays its own until the devices are closed, so
 * that the tables of clusters may name it; who brings the same function gets the same number.  Any thread. */
#ifndef TGI_GPU_BODIES_H
#define TGI_GPU_BODIES_H

#include <stdio.h>

#include "gpu/nvrtc.h"
#include "graph/model.h"

struct tgi_cuda_bodies;

struct tgi_cuda_body {
    uint32_t number;
    const char *kernel;  /* for messages */
    const char *space;   /* the namespace that its source is in: bodies of one source share it */
    const char *text;
    const char *options; /* NULL: none */
    const char *entry;
    bool is_thread; /* a thread wide: called for batches */
};

struct tgi_cuda_bodies *tgi_cuda_bodies_new(void); /* NULL: no memory */
/* Takes NULL. */
void tgi_cuda_bodies_destroy(struct tgi_cuda_bodies *bodies);

/* Compiles a resident variant of an operation that is given as source by itself: what is wrong with it shows here, not in the middle
 * of an executor.  target: versions; the rest of it is filled in.  TG_E_COMPILE with the line of the source; TG_E_NO_LIBRARY.
 * is_cached_p: it has been compiled before. */
int tgi_cuda_body_check(const struct tgi_op *op, const struct tgi_variant *variant, struct tgi_nvrtc_source *target, bool *is_cached_p,
                        struct tg_error *err);
/* The body for such a variant, after that. */
int tgi_cuda_bodies_add(struct tgi_cuda_bodies *bodies, const struct tgi_op *op, const struct tgi_variant *variant,
                        struct tgi_nvrtc_source *target, uint32_t *number_p, bool *is_cached_p, struct tg_error *err);
/* Lasts as long as the bodies.  NULL: no such number. */
const struct tgi_cuda_body *tgi_cuda_bodies_find(struct tgi_cuda_bodies *bodies, uint32_t number);

/* What stands before a source: its namespace begins.  From the first that is a thread wide on the names of tgraph_resident.h are for one thread, so
 * these come last. */
void tgi_cuda_body_begin(FILE *f, const char *space, bool is_thread);
/* What a warp, or a lane, needs for these words, from what the kernel declares: its time, else its bytes and operations, else a microsecond. */
float tgi_cuda_body_cost(const struct tgi_op *op, const uint64_t *words, bool is_thread);

#endif
