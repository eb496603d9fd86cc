/* Inside the stand-in NVRTC. */
#ifndef STANDIN_NVRTC_INTERNAL_H
#define STANDIN_NVRTC_INTERNAL_H

#include <stdio.h>

#include "tests/standin/nvrtc.h"

/* A list of strings; owns them. */
struct names {
    char **text;
    size_t n;
};
bool names_add(struct names *names, const char *text, size_t length);
void names_fini(struct names *names);

struct _nvrtcProgram {
    char *source, *name;
    struct names headers, include_names; /* pairs */
    struct names expressions;
    struct names kernels; /* expressions and what the source defines besides; after compilation */
    struct names lowered; /* of kernels, in that order */
    bool is_compiled;
    const char *driver_kernel; /* its kernel is one that the driver has (resident.c, service_bodies.c); NULL: its own */
    bool is_virtual; /* for compute_NN: no CUBIN */
    char *log, *image;
};

/* Rewrites preprocessed source in place of __global__, __shared__ and `extern __shared__`, and adds to `kernels`
 * the qualified names of the kernels that are not templates.  The caller frees the result; NULL: no memory. */
char *source_rewrite(const char *text, struct names *kernels, bool *has_barriers_p);

/* Compiles with these options for the compiler; fills log, and image, kernels and lowered on success. */
nvrtcResult program_compile(nvrtcProgram program, const struct names *options);

#endif
