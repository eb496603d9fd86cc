/* What a built-in kernel is: one signature, its cost, and its variants.  The table itself lives in
 * kernels/; the graph only looks entries up by name. */
#ifndef TGI_GRAPH_BUILTIN_H
#define TGI_GRAPH_BUILTIN_H

#include "graph/tgraph.h"

/* Stands for the element type of a generic kernel, which the first tile argument decides. */
#define TGI_DTYPE_T TG_N_DTYPES

struct tgi_builtin_param {
    const char *name;
    int dtype;             /* enum tg_dtype or TGI_DTYPE_T.  An integer scalar is always TG_I64: it
                              is passed in a sign-extended 8-byte word whatever the graph declares */
    enum tg_access access; /* TG_SCALAR: passed by value, otherwise a pointer to a tile */
    enum tg_op op;         /* for TG_REDUCE */
    const char *fallback;  /* value if the argument is left out: a number ("-1"), the name of an
                              earlier scalar parameter ("n"), or "null" for an absent tile;
                              NULL: the argument is required.  Optional ones come last. */
    const char *elems;     /* of a tile: how many elements from its start the kernel may touch, an
                              expression over the integer scalars ("m*k"), so that a tile that is too
                              small is found before anything runs; NULL: unknown */
};

/* The variant for GPUs: a kernel in the embedded module, and how it is launched.  It takes the argument
 * array that the CPU variant takes.  A size is an expression over the integer scalars and sizeof(T);
 * kernels/launch.h evaluates them. */
struct tgi_builtin_cuda {
    const char *symbol;       /* of the kernel, followed by _f32 and so on if it has a type parameter */
    bool can_fail;            /* it leaves a record in tgk_fault (kernels/fault.h) */
    const char *grid, *block; /* blocks, threads in a block; all kernels have one dimension */
    const char *shared_bytes; /* dynamic shared memory; NULL: none */
    uint32_t max_shared_bytes; /* what shared_bytes can come to, for any sizes: above 48 KiB the device must be
                                  asked for it before the first launch */
};

struct tgi_builtin {
    const char *name;
    const char *brief; /* one line for the list of kernels: what it computes */
    uint32_t n_params;
    const struct tgi_builtin_param *params;
    const char *flops, *bytes; /* expressions over the parameters and sizeof(T); NULL: none */
    tg_cpu_fn cpu[TG_N_DTYPES + 1]; /* by element type; [TGI_DTYPE_T]: a kernel without type
                                       parameter.  NULL: not available for that type */
    const struct tgi_builtin_cuda *cuda; /* for the same types; NULL: CPUs only */
};

/* NULL if there is none of that name. */
const struct tgi_builtin *tgi_builtin_find(const char *name);
/* The table, sorted by name. */
const struct tgi_builtin *const *tgi_builtin_all(uint32_t *n_p);

#endif
