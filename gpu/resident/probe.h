/* What one hop between two workers costs, by the instructions that the edges of resident programs are made of and
 * nothing else: the limits that the executor is measured against, and the costs that its planner works with.
 *
 * Two warps hand a number to and fro, n_rounds times; a hop is half a round.  One is in block 0, the other in block
 * `other`, or in the same block for PROBE_SHARED. */
#ifndef TGI_GPU_RESIDENT_PROBE_H
#define TGI_GPU_RESIDENT_PROBE_H

#include <stdint.h>

enum tgi_probe_form {
    TGI_PROBE_FLAG,    /* st.relaxed, ld.relaxed, nothing behind it */
    TGI_PROBE_CELL,    /* 16 bytes with the data in them */
    TGI_PROBE_RELEASE, /* data, st.release, ld.acquire, data */
    TGI_PROBE_ADD,     /* data, red.release, ld.acquire, data */
    TGI_PROBE_SHARED,  /* a cell in shared memory, two warps of a block */
    TGI_PROBE_N_FORMS
};

/* tgk_probe(struct tgi_probe), with at least other + 1 blocks of 64 threads, one on a multiprocessor. */
struct tgi_probe {
    uint32_t form, n_rounds, other;
    uint64_t limit_ns;   /* of all rounds; then *ns_p stays as it is */
    uint64_t *memory;    /* 1 KiB of zeros */
    uint64_t *ns_p;      /* for all rounds */
};

#endif
