/* What a kernel of a graph is on GPUs, for the files that resolve it (code.c), give it dimensions (shape.c) and launch it (launch.c). */
#ifndef TGI_GPU_WAY_H
#define TGI_GPU_WAY_H

#include "gpu/bodies.h"
#include "gpu/code.h"
#include "gpu/module.h"
#include "kernels/launch.h"

enum { TGI_DEFAULT_SHARED_BYTES = 48 << 10 };

struct tgi_cuda_code_table {
    struct tgi_cuda_modules *modules;
    struct tgi_cuda_bodies *bodies;
    struct tgi_cuda_code_stats stats;
};

/* One way to execute the operation: a library's call, a built-in kernel, a user's. */
struct tgi_cuda_way {
    const struct tgi_variant *variant;
    char *text;                    /* for people */
    uint32_t blas;                 /* the library's call; TG_NONE: none */
    struct tgi_launcher *launcher; /* of a built-in kernel; NULL: another's */
    const struct tgi_body_row *body; /* its resident variant; NULL: none */
    struct tgi_cuda_image *image;  /* of a user's */
    int occupancy_block, occupancy_grid;
    struct {
        CUfunction f;
        struct tgi_cuda_helpers helpers; /* of the library's call */
    } on[TGI_MAX_DEVICES];
};

struct tgi_code {
    const char *name; /* the kernel's, of the graph */
    const struct tgi_op *op;
    uint64_t ints;    /* bit i: parameter i is an integer, which expressions may name */
    uint32_t resident;          /* the number of its resident function (bodies.h); 0: it has none that can be used, */
    const char *no_resident;    /* and why, where the graph names one; a constant */
    bool spawns;                /* it may make tasks */
    bool is_block, is_thread;   /* it is a block wide, or a thread */
    uint32_t n_ways;
    struct tgi_cuda_way ways[TGI_MAX_WAYS]; /* as the graph names them; a library's call stands after the built-in kernel it is for */
};

/* Blocks of the way's kernel may have so much shared memory, which is more than by default, on a device that has been entered. */
int tgi_cuda_allow_shared(struct tgi_cuda *cuda, uint32_t device, const struct tgi_code *code, const struct tgi_cuda_way *way,
                          uint32_t bytes, struct tg_error *err);

#endif
