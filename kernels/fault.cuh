/* The record of fault.h, on the GPU's side.  All kernels are compiled as one translation unit, so this
 * is its one definition. */
#ifndef TGI_KERNELS_FAULT_CUH
#define TGI_KERNELS_FAULT_CUH

#include "kernels/fault.h"

extern "C" __device__ struct tgi_fault tgk_fault;
__device__ struct tgi_fault tgk_fault;

/* To be called by one thread of a launch. */
__device__ __noinline__ void report_fault(int kind, const void *tile, int64_t a, int64_t b, double x, double y)
{
    atomicAdd(&tgk_fault.n, 1u);
    if (atomicCAS(&tgk_fault.kind, TGI_FAULT_NONE, -1) != TGI_FAULT_NONE)
        return;
    tgk_fault.tile = (uint64_t)(uintptr_t)tile;
    tgk_fault.a = a;
    tgk_fault.b = b;
    tgk_fault.x = x;
    tgk_fault.y = y;
    __threadfence();
    atomicExch(&tgk_fault.kind, kind);
}

#endif
