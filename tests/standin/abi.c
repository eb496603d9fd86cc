/* What gpu/cuda_api.h claims about the driver's ABI, as lines of text or as assertions.
 *
 * Compiled twice by scripts/check-cuda-abi.sh: alone it prints sizes, offsets and values of our own
 * declarations; with COMPARE_WITH_CUDA_H it prints those of cuda.h under the same names and checks, at
 * compile time, that every entry point has the signature that cuda.h declares. */
#ifdef COMPARE_WITH_CUDA_H
#define __CUDA_API_VERSION_INTERNAL /* declares every version under its own name */
#include <cuda.h>
#define TGI_CUDA_NO_TYPES
/* In cuda.h the unversioned names of some structures mean other versions. */
#define CUDA_KERNEL_NODE_PARAMS CUDA_KERNEL_NODE_PARAMS_v2
#define CUDA_MEMSET_NODE_PARAMS CUDA_MEMSET_NODE_PARAMS_v1
#define CUDA_HOST_NODE_PARAMS   CUDA_HOST_NODE_PARAMS_v1
#endif
#include "gpu/cuda_api.h"

#include <stdio.h>

#ifdef COMPARE_WITH_CUDA_H
#define SAME(name, symbol, since, params)                                                     \
    _Static_assert(__builtin_types_compatible_p(__typeof__(symbol), CUresult params), #symbol \
                   " has another signature in cuda.h");
TGI_CUDA_CALLS(SAME)
#endif

#define SIZE(type)        printf("sizeof(" #type ") %zu\n", sizeof(type));
#define AT(type, field) \
    printf(#type "." #field " %zu %zu\n", offsetof(type, field), sizeof(((type *)0)->field));
#define VALUE(name)       printf(#name " %lld\n", (long long)(name));
#define POINTER(name)     printf(#name " %p\n", (void *)(name));

/* clang-format off: one list, not statements */
int main(void)
{
    SIZE(CUdevice)
    SIZE(CUdeviceptr)
    SIZE(CUresult)
    SIZE(CUuuid)
    SIZE(CUgraphConditionalHandle)
    SIZE(CUhostFn)
    SIZE(CUmemGenericAllocationHandle) POINTER(CU_STREAM_LEGACY) POINTER(CU_STREAM_PER_THREAD)
    SIZE(CUmemLocation) AT(CUmemLocation, type) AT(CUmemLocation, id)
    SIZE(CUmemAccessDesc) AT(CUmemAccessDesc, location) AT(CUmemAccessDesc, flags)
    SIZE(CUmemPoolProps) AT(CUmemPoolProps, allocType) AT(CUmemPoolProps, handleTypes)
    AT(CUmemPoolProps, location) AT(CUmemPoolProps, win32SecurityAttributes) AT(CUmemPoolProps, maxSize)
    AT(CUmemPoolProps, usage) AT(CUmemPoolProps, reserved)
    SIZE(CUDA_MEMCPY2D) AT(CUDA_MEMCPY2D, srcXInBytes) AT(CUDA_MEMCPY2D, srcMemoryType)
    AT(CUDA_MEMCPY2D, srcHost) AT(CUDA_MEMCPY2D, srcDevice) AT(CUDA_MEMCPY2D, srcPitch)
    AT(CUDA_MEMCPY2D, dstXInBytes) AT(CUDA_MEMCPY2D, dstMemoryType) AT(CUDA_MEMCPY2D, dstHost)
    AT(CUDA_MEMCPY2D, dstDevice) AT(CUDA_MEMCPY2D, dstPitch) AT(CUDA_MEMCPY2D, WidthInBytes)
    AT(CUDA_MEMCPY2D, Height)
    SIZE(CUDA_MEMCPY3D) AT(CUDA_MEMCPY3D, srcXInBytes) AT(CUDA_MEMCPY3D, srcZ)
    AT(CUDA_MEMCPY3D, srcMemoryType) AT(CUDA_MEMCPY3D, srcHost) AT(CUDA_MEMCPY3D, srcDevice)
    AT(CUDA_MEMCPY3D, srcPitch) AT(CUDA_MEMCPY3D, srcHeight) AT(CUDA_MEMCPY3D, dstXInBytes)
    AT(CUDA_MEMCPY3D, dstZ) AT(CUDA_MEMCPY3D, dstMemoryType) AT(CUDA_MEMCPY3D, dstHost)
    AT(CUDA_MEMCPY3D, dstDevice) AT(CUDA_MEMCPY3D, dstPitch) AT(CUDA_MEMCPY3D, dstHeight)
    AT(CUDA_MEMCPY3D, WidthInBytes) AT(CUDA_MEMCPY3D, Height) AT(CUDA_MEMCPY3D, Depth)
    SIZE(CUlaunchAttributeValue)
    SIZE(CUlaunchAttribute) AT(CUlaunchAttribute, id) AT(CUlaunchAttribute, value)
    AT(CUlaunchAttributeValue, cooperative) AT(CUlaunchAttributeValue, clusterDim)
    AT(CUlaunchAttributeValue, priority) AT(CUlaunchAttributeValue, programmaticStreamSerializationAllowed)
    SIZE(CUlaunchConfig) AT(CUlaunchConfig, gridDimX) AT(CUlaunchConfig, blockDimX)
    AT(CUlaunchConfig, sharedMemBytes) AT(CUlaunchConfig, hStream) AT(CUlaunchConfig, attrs)
    AT(CUlaunchConfig, numAttrs)
    SIZE(CUDA_KERNEL_NODE_PARAMS) AT(CUDA_KERNEL_NODE_PARAMS, func) AT(CUDA_KERNEL_NODE_PARAMS, gridDimX)
    AT(CUDA_KERNEL_NODE_PARAMS, blockDimX) AT(CUDA_KERNEL_NODE_PARAMS, sharedMemBytes)
    AT(CUDA_KERNEL_NODE_PARAMS, kernelParams) AT(CUDA_KERNEL_NODE_PARAMS, extra)
    AT(CUDA_KERNEL_NODE_PARAMS, kern) AT(CUDA_KERNEL_NODE_PARAMS, ctx)
    SIZE(CUDA_MEMSET_NODE_PARAMS) AT(CUDA_MEMSET_NODE_PARAMS, dst) AT(CUDA_MEMSET_NODE_PARAMS, pitch)
    AT(CUDA_MEMSET_NODE_PARAMS, value) AT(CUDA_MEMSET_NODE_PARAMS, elementSize)
    AT(CUDA_MEMSET_NODE_PARAMS, width) AT(CUDA_MEMSET_NODE_PARAMS, height)
    SIZE(CUDA_HOST_NODE_PARAMS) AT(CUDA_HOST_NODE_PARAMS, fn) AT(CUDA_HOST_NODE_PARAMS, userData)
    SIZE(CUDA_CONDITIONAL_NODE_PARAMS) AT(CUDA_CONDITIONAL_NODE_PARAMS, handle)
    AT(CUDA_CONDITIONAL_NODE_PARAMS, type) AT(CUDA_CONDITIONAL_NODE_PARAMS, size)
    AT(CUDA_CONDITIONAL_NODE_PARAMS, phGraph_out) AT(CUDA_CONDITIONAL_NODE_PARAMS, ctx)
    SIZE(CUgraphNodeParams) AT(CUgraphNodeParams, type) AT(CUgraphNodeParams, kernel.func)
    AT(CUgraphNodeParams, kernel.gridDimX) AT(CUgraphNodeParams, kernel.sharedMemBytes)
    AT(CUgraphNodeParams, kernel.kernelParams) AT(CUgraphNodeParams, kernel.extra)
    AT(CUgraphNodeParams, kernel.kern) AT(CUgraphNodeParams, kernel.ctx) AT(CUgraphNodeParams, conditional)
    AT(CUgraphNodeParams, reserved2)
    SIZE(CUgraphEdgeData) AT(CUgraphEdgeData, from_port) AT(CUgraphEdgeData, to_port)
    AT(CUgraphEdgeData, type)
    SIZE(CUgraphExecUpdateResultInfo) AT(CUgraphExecUpdateResultInfo, result)
    AT(CUgraphExecUpdateResultInfo, errorNode) AT(CUgraphExecUpdateResultInfo, errorFromNode)
    SIZE(CUDA_GRAPH_INSTANTIATE_PARAMS) AT(CUDA_GRAPH_INSTANTIATE_PARAMS, flags)
    AT(CUDA_GRAPH_INSTANTIATE_PARAMS, hUploadStream) AT(CUDA_GRAPH_INSTANTIATE_PARAMS, hErrNode_out)
    AT(CUDA_GRAPH_INSTANTIATE_PARAMS, result_out)
#include "values.h" /* every enumerator and constant of gpu/cuda_api.h, listed by the script */
    return 0;
}
