/* Devices and their primary contexts. */
#include "tests/standin/internal.h"

static __thread CUcontext stack[MAX_STACK];
static __thread unsigned n_stack;

static bool is_device(CUdevice d) { return d >= 0 && d < state.n_devices; }

static bool is_ctx(CUcontext c)
{
    for (int i = 0; i < state.n_devices; i++)
        if (c == &state.ctx[i])
            return true;
    return false;
}

CUresult current_ctx(CUcontext *ctx_p)
{
    CUcontext c = n_stack ? stack[n_stack - 1] : NULL;
    if (!c || !is_ctx(c))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (c->n_retained == 0)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *ctx_p = c;
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned int flags)
{
    BEGIN_ANY(cuInit);
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (state.n_devices == 0)
        return CUDA_ERROR_NO_DEVICE;
    state.is_initialised = true;
    return rc;
}

CUresult cuDriverGetVersion(int *version_p)
{
    BEGIN_ANY(cuDriverGetVersion);
    *version_p = 13000;
    return rc;
}

CUresult cuDeviceGetCount(int *n_p)
{
    BEGIN(cuDeviceGetCount);
    *n_p = state.n_devices;
    return rc;
}

CUresult cuDeviceGet(CUdevice *device_p, int ordinal)
{
    BEGIN(cuDeviceGet);
    if (!is_device(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *device_p = ordinal;
    return rc;
}

CUresult cuDeviceGetName(char *name, int size, CUdevice device)
{
    BEGIN(cuDeviceGetName);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)size, "stand-in %d", device);
    return rc;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid_p, CUdevice device)
{
    BEGIN(cuDeviceGetUuid_v2);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    memset(uuid_p, 0x5d, sizeof *uuid_p);
    uuid_p->bytes[15] = (char)device;
    return rc;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes_p, CUdevice device)
{
    BEGIN(cuDeviceTotalMem_v2);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *bytes_p = state.memory_bytes;
    return rc;
}

CUresult cuDeviceGetPCIBusId(char *id, int size, CUdevice device)
{
    BEGIN(cuDeviceGetPCIBusId);
    if (!is_device(device) || size < 13)
        return CUDA_ERROR_INVALID_VALUE;
    snprintf(id, (size_t)size, "FFFF:%02X:00.0", device + 0x1b); /* a domain no machine has */
    return rc;
}

CUresult cuDeviceGetAttribute(int *value_p, CUdevice_attribute attribute, CUdevice device)
{
    static const struct {
        CUdevice_attribute attribute;
        int value;
    } known[] = {
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, MAX_THREADS},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, MAX_SHARED},
        {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
        {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, N_SMS},
        {CU_DEVICE_ATTRIBUTE_INTEGRATED, 0},
        {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 0},
        {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
        {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, 1},
        {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1000000},
        {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 4096},
        {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 4 << 20},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
        {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3},
        {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
        {CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 0xffff},
        {CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 0},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0},
        {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 228 << 10},
        {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
        {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0},
        {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, MAX_SHARED_OPTIN},
        {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32},
        {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
        {CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 0},
        {CU_DEVICE_ATTRIBUTE_MPS_ENABLED, 0},
        {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, 0},
    };
    BEGIN(cuDeviceGetAttribute);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *value_p = device + 0x1b;
    if (attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)
        return rc;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].attribute == attribute) {
            *value_p = known[i].value;
            return rc;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

/* Pairs of devices (0,1), (2,3).. have atomics, like cards joined by a bridge. */
CUresult cuDeviceGetP2PAttribute(int *value_p, CUdevice_P2PAttribute attribute, CUdevice from, CUdevice to)
{
    BEGIN(cuDeviceGetP2PAttribute);
    if (!is_device(from) || !is_device(to) || from == to)
        return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
    case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
        *value_p = from / 2 == to / 2 ? 0 : 1;
        return rc;
    case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
        *value_p = state.has_peers;
        return rc;
    case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED:
        *value_p = state.has_peers && (state.is_all_linked || from / 2 == to / 2);
        return rc;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuDeviceCanAccessPeer(int *can_p, CUdevice device, CUdevice peer)
{
    BEGIN(cuDeviceCanAccessPeer);
    if (!is_device(device) || !is_device(peer))
        return CUDA_ERROR_INVALID_DEVICE;
    *can_p = state.has_peers && device != peer;
    return rc;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx_p, CUdevice device)
{
    BEGIN(cuDevicePrimaryCtxRetain);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    state.ctx[device].n_retained++;
    *ctx_p = &state.ctx[device];
    return rc;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    BEGIN_RELEASE(cuDevicePrimaryCtxRelease_v2);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (state.ctx[device].n_retained == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    state.ctx[device].n_retained--;
    DONE(rc);
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags)
{
    BEGIN(cuDevicePrimaryCtxSetFlags_v2);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    state.ctx[device].flags = flags;
    return rc;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags_p, int *is_active_p)
{
    BEGIN(cuDevicePrimaryCtxGetState);
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *flags_p = state.ctx[device].flags;
    *is_active_p = state.ctx[device].n_retained > 0;
    return rc;
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    BEGIN(cuCtxSetCurrent);
    if (ctx && !is_ctx(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (n_stack == 0)
        n_stack = 1;
    stack[n_stack - 1] = ctx;
    return rc;
}

CUresult cuCtxGetCurrent(CUcontext *ctx_p)
{
    BEGIN(cuCtxGetCurrent);
    *ctx_p = n_stack && is_ctx(stack[n_stack - 1]) ? stack[n_stack - 1] : NULL;
    return rc;
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    BEGIN(cuCtxPushCurrent_v2);
    if (!is_ctx(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (n_stack == MAX_STACK)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[n_stack++] = ctx;
    return rc;
}

CUresult cuCtxPopCurrent_v2(CUcontext *ctx_p)
{
    BEGIN_RELEASE(cuCtxPopCurrent_v2);
    if (n_stack == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    n_stack--;
    if (ctx_p)
        *ctx_p = stack[n_stack];
    DONE(rc);
}

CUresult cuCtxGetDevice(CUdevice *device_p)
{
    CUcontext c;
    BEGIN(cuCtxGetDevice);
    rc = current_ctx(&c);
    if (rc == CUDA_SUCCESS)
        *device_p = c->device;
    return rc;
}

CUresult cuCtxSynchronize(void)
{
    CUcontext c;
    BEGIN(cuCtxSynchronize);
    rc = current_ctx(&c);
    if (rc == CUDA_SUCCESS)
        rc = capture_forbid();
    return rc == CUDA_SUCCESS ? demand_device(c->device) : rc;
}

CUresult cuCtxGetStreamPriorityRange(int *least_p, int *greatest_p)
{
    BEGIN(cuCtxGetStreamPriorityRange);
    if (least_p)
        *least_p = 0;
    if (greatest_p)
        *greatest_p = -5;
    return rc;
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
    CUcontext c;
    BEGIN(cuCtxEnablePeerAccess);
    rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_ctx(peer) || peer == c)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!state.has_peers)
        return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    if (c->reaches[peer->device])
        return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
    c->reaches[peer->device] = true;
    return rc;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    CUcontext c;
    BEGIN_RELEASE(cuCtxDisablePeerAccess);
    rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!is_ctx(peer) || !c->reaches[peer->device])
        return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
    c->reaches[peer->device] = false;
    DONE(rc);
}
