/* Synthetic graphs of known shapes.
 *
 * What is written depends on the options alone, never on the machine or the time. */
#ifndef TGI_IO_GEN_H
#define TGI_IO_GEN_H

#include <stdio.h>

#include "graph/tgraph.h"

enum tgi_gen_payload {
    TGI_GEN_AUTO, /* hash, or spin if a time is asked for */
    TGI_GEN_HASH, /* 64-bit mixes: results depend on the order of everything */
    TGI_GEN_SPIN, /* burns `us` microseconds and moves `bytes` along every edge */
    TGI_GEN_EMPTY /* a C function that returns at once; needs a compiler when run */
};

/* Zero means "not given" throughout. */
struct tgi_gen_options {
    const char *pattern;
    uint64_t n_tasks;  /* about; decides what width, steps leave open.  1000 if nothing is given */
    uint64_t width;    /* tasks side by side; of factorisations: tiles along an edge */
    uint64_t steps;    /* tasks one after the other */
    uint32_t arity;    /* of tree; 2 if not given */
    uint32_t radix;    /* in-edges of spread and nearest; 5 if not given */
    uint32_t in_edges; /* of random; 4 if not given */
    uint64_t window;   /* of random: how far back they reach; 1000 if not given */
    uint64_t seed;     /* of random */
    uint64_t tile;     /* edge of a tile of factorisations; 128 if not given */
    double us;
    double ccr;     /* moving `bytes` at 10 GB/s takes ccr * us; sets bytes if they are not given */
    uint64_t bytes; /* that a task writes */
    enum tgi_gen_payload payload;
    bool is_lines; /* JSON Lines, every task written out; otherwise templates where possible */
};

/* Ends with an entry without name. */
struct tgi_gen_pattern {
    const char *name, *brief;
};
extern const struct tgi_gen_pattern tgi_gen_patterns[];

/* Write errors stay with the stream.  A combination that makes no graph is TG_E_USAGE. */
int tgi_gen_write(FILE *to, const struct tgi_gen_options *options, struct tg_error *err);

#endif
