/* What decides in CUDA graphs, which sets the condition of a body, and of the other one, and what tells the time there.  A module of
 * its own, which is loaded when it is needed: drivers before CUDA 12.3 know no conditions. */
#include "gpu/decide.h"

extern "C" __global__ void tgi_decide(tgi_decision d)
{
    uint64_t n_left = 1;
    if (d.is_loop) {
        n_left = d.n_rounds ? d.n_rounds : d.state->n_left - 1;
        d.state->n_left = n_left;
    }
    bool holds = n_left > 0;
    if (holds && d.tile) {
        holds = false;
        for (uint32_t i = 0; i < d.tile_bytes; i++)
            holds |= d.tile[i] != 0;
    }
    d.state->n_taken[!holds]++;
    cudaGraphSetConditional(d.condition, holds);
    if (d.has_other)
        cudaGraphSetConditional(d.other, !holds);
}

extern "C" __global__ void tgi_stamp(uint64_t *to)
{
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    *to = now;
}
