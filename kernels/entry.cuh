/* How a built-in kernel is declared, and what it does first.
 *
 * tgk_begin() makes that a graph may launch it while the kernel before it in a chain still runs (gpu/graph_chain.h): its wait lasts until
 * the kernels that this launch depends on have ended and what they wrote is visible.  A launch of the usual kind begins after
 * that, and passes.  Only then may the kernel after this one be launched, or all kernels of a chain could lie on the device at
 * once, each with its share of the multiprocessors.  tests/kernels.sh sees that no kernel forgets it. */
#ifndef TGI_KERNELS_ENTRY_CUH
#define TGI_KERNELS_ENTRY_CUH

#define TGK_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

__device__ __forceinline__ void tgk_begin()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#endif
