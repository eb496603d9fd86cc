/* Those calls of the null driver that have something to return. */
#include <stdlib.h>
#include <string.h>

#include "gpu/cuda_api.h"

#define EXPORT __attribute__((visibility("default")))
#define PROTOTYPE_X(name, symbol, since, params) EXPORT CUresult symbol params;
TGI_CUDA_CALLS(PROTOTYPE_X)
#undef PROTOTYPE_X

static char object; /* what all handles point to */
static CUdeviceptr next_address = 1 << 20;

CUresult cuGetErrorName(CUresult rc, const char **text_p) { return (void)rc, *text_p = "NULL_DRIVER", CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult rc, const char **text_p) { return (void)rc, *text_p = "null driver", CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *version_p) { return *version_p = 13000, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *n_p) { return *n_p = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device_p, int i) { return *device_p = i, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *name, int n, CUdevice device)
{
    (void)device;
    strncpy(name, "null device", (size_t)n);
    return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes_p, CUdevice device) { return (void)device, *bytes_p = (size_t)1 << 34, CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value_p, CUdevice_attribute attribute, CUdevice device)
{
    (void)device, (void)attribute;
    *value_p = 1024; /* plenty of everything */
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetPCIBusId(char *text, int n, CUdevice device)
{
    (void)device;
    strncpy(text, "0000:00:00.0", (size_t)n);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx_p, CUdevice device) { return (void)device, *ctx_p = (CUcontext)(void *)&object, CUDA_SUCCESS; }
CUresult cuCtxPopCurrent_v2(CUcontext *ctx_p) { return *ctx_p = (CUcontext)(void *)&object, CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *ctx_p) { return *ctx_p = (CUcontext)(void *)&object, CUDA_SUCCESS; }
CUresult cuStreamCreate(CUstream *stream_p, unsigned flags) { return (void)flags, *stream_p = (CUstream)(void *)&object, CUDA_SUCCESS; }
CUresult cuStreamCreateWithPriority(CUstream *stream_p, unsigned flags, int priority) { return (void)flags, (void)priority, *stream_p = (CUstream)(void *)&object, CUDA_SUCCESS; }
CUresult cuEventCreate(CUevent *event_p, unsigned flags) { return (void)flags, *event_p = (CUevent)(void *)&object, CUDA_SUCCESS; }
CUresult cuEventElapsedTime(float *ms_p, CUevent from, CUevent to) { return (void)from, (void)to, *ms_p = 0, CUDA_SUCCESS; }
CUresult cuMemGetInfo_v2(size_t *free_p, size_t *total_p) { return *free_p = *total_p = (size_t)1 << 34, CUDA_SUCCESS; }
CUresult cuMemAlloc_v2(CUdeviceptr *ptr_p, size_t bytes)
{
    *ptr_p = next_address;
    next_address += (bytes + 511) / 512 * 512;
    return CUDA_SUCCESS;
}
CUresult cuMemHostAlloc(void **ptr_p, size_t bytes, unsigned flags)
{
    (void)flags;
    *ptr_p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    return *ptr_p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemFreeHost(void *ptr) { return free(ptr), CUDA_SUCCESS; }
CUresult cuModuleLoadData(CUmodule *module_p, const void *image) { return (void)image, *module_p = (CUmodule)(void *)&object, CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *f_p, CUmodule module, const char *name)
{
    (void)module, (void)name;
    *f_p = (CUfunction)(void *)&object;
    return CUDA_SUCCESS;
}
CUresult cuModuleGetGlobal_v2(CUdeviceptr *ptr_p, size_t *bytes_p, CUmodule module, const char *name)
{
    (void)module, (void)name;
    *ptr_p = 4096;
    *bytes_p = 64;
    return CUDA_SUCCESS;
}
CUresult cuFuncGetAttribute(int *value_p, CUfunction_attribute attribute, CUfunction f)
{
    (void)attribute, (void)f;
    *value_p = 1024;
    return CUDA_SUCCESS;
}
CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid_p, int *block_p, CUfunction f, CUoccupancyB2DSize shared, size_t bytes, int limit)
{
    (void)f, (void)shared, (void)bytes, (void)limit;
    *min_grid_p = 1;
    *block_p = 256;
    return CUDA_SUCCESS;
}
/* Memory there reads as zeros. */
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) { return (void)from, memset(to, 0, bytes), CUDA_SUCCESS; }
CUresult cuStreamGetCtx(CUstream stream, CUcontext *ctx_p) { return (void)stream, *ctx_p = (CUcontext)(void *)&object, CUDA_SUCCESS; }
/* Kernels that are not built in have one argument, as that of cuda_graphs has. */
CUresult cuFuncGetParamInfo(CUfunction f, size_t index, size_t *offset_p, size_t *size_p)
{
    (void)f;
    *offset_p = 0;
    *size_p = sizeof(uint64_t);
    return index ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
CUresult cuGraphCreate(CUgraph *graph_p, unsigned flags) { return (void)flags, *graph_p = (CUgraph)(void *)&object, CUDA_SUCCESS; }
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph_p) { return (void)stream, *graph_p = (CUgraph)(void *)&object, CUDA_SUCCESS; }
CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec_p, CUgraph graph, unsigned long long flags)
{
    (void)graph, (void)flags;
    *exec_p = (CUgraphExec)(void *)&object;
    return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithParams(CUgraphExec *exec_p, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    (void)graph, (void)params;
    *exec_p = (CUgraphExec)(void *)&object;
    return CUDA_SUCCESS;
}
