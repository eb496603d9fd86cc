/* The part of the CUDA driver API that tgraph uses: types, values and a list of entry points.
 *
 * Declared here and not taken from cuda.h, so that everything but device code builds on a machine
 * without the toolkit.  Names, values and layouts are the driver's ABI from CUDA 12.0 on, under the
 * names the driver's own manual uses; scripts/check-cuda-abi.sh compares every one of them with a
 * cuda.h if there is one.  Enumerations whose values we only pass on are ints.
 *
 * Entry points are named by the symbol that libcuda.so.1 exports.  Where several versions exist,
 * the list takes the oldest that does what we need, since drivers keep old ones. */
#ifndef TGI_GPU_CUDA_API_H
#define TGI_GPU_CUDA_API_H

#include <stddef.h>
#include <stdint.h>

#ifndef TGI_CUDA_NO_TYPES /* set by the check against cuda.h, whose types it then uses */

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef uint64_t cuuint64_t;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUlib_st *CUlibrary;
typedef struct CUkern_st *CUkernel;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUarray_st *CUarray;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef unsigned long long CUmemGenericAllocationHandle;
typedef cuuint64_t CUgraphConditionalHandle;
typedef struct CUuuid_st {
    char bytes[16];
} CUuuid;
typedef void (*CUhostFn)(void *user);
typedef size_t (*CUoccupancyB2DSize)(int block_size);

#define CU_STREAM_LEGACY     ((CUstream)0x1)
#define CU_STREAM_PER_THREAD ((CUstream)0x2)

/* ---- Values -------------------------------------------------------------------------------*/

/* Results that tgraph or its stand-in driver tells apart; others are passed on by number. */
#define TGI_CUDA_RESULT_MAP(X)                        \
    X(CUDA_SUCCESS, 0)                                \
    X(CUDA_ERROR_INVALID_VALUE, 1)                    \
    X(CUDA_ERROR_OUT_OF_MEMORY, 2)                    \
    X(CUDA_ERROR_NOT_INITIALIZED, 3)                  \
    X(CUDA_ERROR_DEINITIALIZED, 4)                    \
    X(CUDA_ERROR_STUB_LIBRARY, 34)                    \
    X(CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER, 36)      \
    X(CUDA_ERROR_DEVICE_UNAVAILABLE, 46)              \
    X(CUDA_ERROR_NO_DEVICE, 100)                      \
    X(CUDA_ERROR_INVALID_DEVICE, 101)                 \
    X(CUDA_ERROR_INVALID_IMAGE, 200)                  \
    X(CUDA_ERROR_INVALID_CONTEXT, 201)                \
    X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209)              \
    X(CUDA_ERROR_ECC_UNCORRECTABLE, 214)              \
    X(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, 217)        \
    X(CUDA_ERROR_INVALID_PTX, 218)                    \
    X(CUDA_ERROR_NVLINK_UNCORRECTABLE, 220)           \
    X(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, 221)         \
    X(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222)        \
    X(CUDA_ERROR_OPERATING_SYSTEM, 304)               \
    X(CUDA_ERROR_INVALID_HANDLE, 400)                 \
    X(CUDA_ERROR_ILLEGAL_STATE, 401)                  \
    X(CUDA_ERROR_NOT_FOUND, 500)                      \
    X(CUDA_ERROR_NOT_READY, 600)                      \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, 700)                \
    X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701)        \
    X(CUDA_ERROR_LAUNCH_TIMEOUT, 702)                 \
    X(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, 704)    \
    X(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, 705)        \
    X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)           \
    X(CUDA_ERROR_ASSERT, 710)                         \
    X(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, 712) \
    X(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, 713)     \
    X(CUDA_ERROR_HARDWARE_STACK_ERROR, 714)           \
    X(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715)            \
    X(CUDA_ERROR_MISALIGNED_ADDRESS, 716)             \
    X(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717)          \
    X(CUDA_ERROR_INVALID_PC, 718)                     \
    X(CUDA_ERROR_LAUNCH_FAILED, 719)                  \
    X(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, 720)   \
    X(CUDA_ERROR_NOT_PERMITTED, 800)                  \
    X(CUDA_ERROR_NOT_SUPPORTED, 801)                  \
    X(CUDA_ERROR_SYSTEM_NOT_READY, 802)               \
    X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)         \
    X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900)     \
    X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901)     \
    X(CUDA_ERROR_STREAM_CAPTURE_MERGE, 902)           \
    X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903)       \
    X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904)        \
    X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905)       \
    X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906)        \
    X(CUDA_ERROR_CAPTURED_EVENT, 907)                 \
    X(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, 908)    \
    X(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, 910)      \
    X(CUDA_ERROR_INVALID_RESOURCE_TYPE, 914)          \
    X(CUDA_ERROR_UNKNOWN, 999)

typedef enum cudaError_enum {
#define TGI_CUDA_RESULT_X(name, value) name = value,
    TGI_CUDA_RESULT_MAP(TGI_CUDA_RESULT_X)
#undef TGI_CUDA_RESULT_X
} CUresult;

typedef enum CUdevice_attribute_enum {
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X = 2,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y = 3,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z = 4,
    CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X = 5,
    CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y = 6,
    CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z = 7,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK = 8,
    CU_DEVICE_ATTRIBUTE_WARP_SIZE = 10,
    CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK = 12,
    CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_INTEGRATED = 18,
    CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY = 19,
    CU_DEVICE_ATTRIBUTE_COMPUTE_MODE = 20,
    CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS = 31,
    CU_DEVICE_ATTRIBUTE_ECC_ENABLED = 32,
    CU_DEVICE_ATTRIBUTE_PCI_BUS_ID = 33,
    CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID = 34,
    CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE = 36,
    CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH = 37,
    CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
    CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
    CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT = 40,
    CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING = 41,
    CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID = 50,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED = 78,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
    CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR = 82,
    CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS = 88,
    CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH = 95,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102,
    CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR = 106,
    CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
    CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH = 120,
    CU_DEVICE_ATTRIBUTE_MPS_ENABLED = 133,
    CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID = 134
} CUdevice_attribute;

typedef enum CUdevice_P2PAttribute_enum {
    CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK = 1,
    CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED = 2,
    CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED = 3
} CUdevice_P2PAttribute;

typedef enum CUfunction_attribute_enum {
    CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
    CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
    CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES = 2,
    CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
    CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
    CU_FUNC_ATTRIBUTE_PTX_VERSION = 5,
    CU_FUNC_ATTRIBUTE_BINARY_VERSION = 6,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
    CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT = 9
} CUfunction_attribute;

typedef enum CUpointer_attribute_enum {
    CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
    CU_POINTER_ATTRIBUTE_DEVICE_POINTER = 3,
    CU_POINTER_ATTRIBUTE_HOST_POINTER = 4,
    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9
} CUpointer_attribute;

typedef enum CUmemorytype_enum {
    CU_MEMORYTYPE_HOST = 1,
    CU_MEMORYTYPE_DEVICE = 2,
    CU_MEMORYTYPE_ARRAY = 3,
    CU_MEMORYTYPE_UNIFIED = 4
} CUmemorytype;

typedef enum CUjit_option_enum {
    CU_JIT_MAX_REGISTERS = 0,
    CU_JIT_INFO_LOG_BUFFER = 3,
    CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES = 4,
    CU_JIT_ERROR_LOG_BUFFER = 5,
    CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
    CU_JIT_OPTIMIZATION_LEVEL = 7,
    CU_JIT_LOG_VERBOSE = 12,
    CU_JIT_GENERATE_LINE_INFO = 13
} CUjit_option;
typedef enum CUlibraryOption_enum { CU_LIBRARY_BINARY_IS_PRESERVED = 1 } CUlibraryOption;

enum {
    CU_CTX_SCHED_AUTO = 0x0,
    CU_CTX_SCHED_SPIN = 0x1,
    CU_CTX_SCHED_YIELD = 0x2,
    CU_CTX_SCHED_BLOCKING_SYNC = 0x4,
    CU_STREAM_DEFAULT = 0x0,
    CU_STREAM_NON_BLOCKING = 0x1,
    CU_EVENT_DEFAULT = 0x0,
    CU_EVENT_BLOCKING_SYNC = 0x1,
    CU_EVENT_DISABLE_TIMING = 0x2,
    CU_EVENT_RECORD_DEFAULT = 0x0,
    CU_EVENT_RECORD_EXTERNAL = 0x1,
    CU_EVENT_WAIT_DEFAULT = 0x0,
    CU_EVENT_WAIT_EXTERNAL = 0x1,
    CU_OCCUPANCY_DEFAULT = 0x0
};
#define CU_MEMHOSTALLOC_PORTABLE      0x01
#define CU_MEMHOSTALLOC_DEVICEMAP     0x02
#define CU_MEMHOSTALLOC_WRITECOMBINED 0x04
#define CU_MEMHOSTREGISTER_PORTABLE   0x01
#define CU_MEMHOSTREGISTER_DEVICEMAP  0x02
#define CU_MEMHOSTREGISTER_READ_ONLY  0x08

/* ---- Memory -------------------------------------------------------------------------------*/

typedef enum CUmemLocationType_enum {
    CU_MEM_LOCATION_TYPE_INVALID = 0,
    CU_MEM_LOCATION_TYPE_DEVICE = 1,
    CU_MEM_LOCATION_TYPE_HOST = 2,
    CU_MEM_LOCATION_TYPE_HOST_NUMA = 3
} CUmemLocationType;
typedef enum CUmemAllocationType_enum { CU_MEM_ALLOCATION_TYPE_PINNED = 1 } CUmemAllocationType;
typedef enum CUmemAllocationHandleType_enum { CU_MEM_HANDLE_TYPE_NONE = 0 } CUmemAllocationHandleType;
typedef enum CUmemAccess_flags_enum {
    CU_MEM_ACCESS_FLAGS_PROT_NONE = 0,
    CU_MEM_ACCESS_FLAGS_PROT_READ = 1,
    CU_MEM_ACCESS_FLAGS_PROT_READWRITE = 3
} CUmemAccess_flags;
typedef struct CUmemLocation_st {
    CUmemLocationType type;
    int id;
} CUmemLocation;
typedef struct CUmemAccessDesc_st {
    CUmemLocation location;
    CUmemAccess_flags flags;
} CUmemAccessDesc;
typedef struct CUmemPoolProps_st {
    CUmemAllocationType allocType;
    CUmemAllocationHandleType handleTypes;
    CUmemLocation location;
    void *win32SecurityAttributes;
    size_t maxSize;
    unsigned short usage;
    unsigned char reserved[54];
} CUmemPoolProps;
typedef enum CUmemPool_attribute_enum {
    CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES = 1,
    CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC = 2,
    CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES = 3,
    CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4,
    CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT = 5,
    CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH = 6,
    CU_MEMPOOL_ATTR_USED_MEM_CURRENT = 7,
    CU_MEMPOOL_ATTR_USED_MEM_HIGH = 8
} CUmemPool_attribute;

typedef struct CUDA_MEMCPY2D_st {
    size_t srcXInBytes;
    size_t srcY;
    CUmemorytype srcMemoryType;
    const void *srcHost;
    CUdeviceptr srcDevice;
    CUarray srcArray;
    size_t srcPitch;
    size_t dstXInBytes;
    size_t dstY;
    CUmemorytype dstMemoryType;
    void *dstHost;
    CUdeviceptr dstDevice;
    CUarray dstArray;
    size_t dstPitch;
    size_t WidthInBytes;
    size_t Height;
} CUDA_MEMCPY2D;
typedef struct CUDA_MEMCPY3D_st {
    size_t srcXInBytes;
    size_t srcY;
    size_t srcZ;
    size_t srcLOD;
    CUmemorytype srcMemoryType;
    const void *srcHost;
    CUdeviceptr srcDevice;
    CUarray srcArray;
    void *reserved0;
    size_t srcPitch;
    size_t srcHeight;
    size_t dstXInBytes;
    size_t dstY;
    size_t dstZ;
    size_t dstLOD;
    CUmemorytype dstMemoryType;
    void *dstHost;
    CUdeviceptr dstDevice;
    CUarray dstArray;
    void *reserved1;
    size_t dstPitch;
    size_t dstHeight;
    size_t WidthInBytes;
    size_t Height;
    size_t Depth;
} CUDA_MEMCPY3D;

/* ---- Launches -----------------------------------------------------------------------------*/

typedef enum CUlaunchAttributeID_enum {
    CU_LAUNCH_ATTRIBUTE_IGNORE = 0,
    CU_LAUNCH_ATTRIBUTE_COOPERATIVE = 2,
    CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION = 4,
    CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
    CU_LAUNCH_ATTRIBUTE_PRIORITY = 8
} CUlaunchAttributeID;
typedef union CUlaunchAttributeValue_union {
    char pad[64];
    int cooperative;
    struct {
        unsigned int x, y, z;
    } clusterDim;
    int programmaticStreamSerializationAllowed;
    int priority;
    void *alignment_; /* other members hold pointers */
} CUlaunchAttributeValue;
typedef struct CUlaunchAttribute_st {
    CUlaunchAttributeID id;
    char pad[8 - sizeof(CUlaunchAttributeID)];
    CUlaunchAttributeValue value;
} CUlaunchAttribute;
typedef struct CUlaunchConfig_st {
    unsigned int gridDimX;
    unsigned int gridDimY;
    unsigned int gridDimZ;
    unsigned int blockDimX;
    unsigned int blockDimY;
    unsigned int blockDimZ;
    unsigned int sharedMemBytes;
    CUstream hStream;
    CUlaunchAttribute *attrs;
    unsigned int numAttrs;
} CUlaunchConfig;

/* ---- Graphs -------------------------------------------------------------------------------*/

typedef enum CUgraphNodeType_enum {
    CU_GRAPH_NODE_TYPE_KERNEL = 0,
    CU_GRAPH_NODE_TYPE_MEMCPY = 1,
    CU_GRAPH_NODE_TYPE_MEMSET = 2,
    CU_GRAPH_NODE_TYPE_HOST = 3,
    CU_GRAPH_NODE_TYPE_GRAPH = 4,
    CU_GRAPH_NODE_TYPE_EMPTY = 5,
    CU_GRAPH_NODE_TYPE_WAIT_EVENT = 6,
    CU_GRAPH_NODE_TYPE_EVENT_RECORD = 7,
    CU_GRAPH_NODE_TYPE_MEM_ALLOC = 10,
    CU_GRAPH_NODE_TYPE_MEM_FREE = 11,
    CU_GRAPH_NODE_TYPE_CONDITIONAL = 13
} CUgraphNodeType;
typedef enum CUstreamCaptureMode_enum {
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0,
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
    CU_STREAM_CAPTURE_MODE_RELAXED = 2
} CUstreamCaptureMode;
typedef enum CUstreamCaptureStatus_enum {
    CU_STREAM_CAPTURE_STATUS_NONE = 0,
    CU_STREAM_CAPTURE_STATUS_ACTIVE = 1,
    CU_STREAM_CAPTURE_STATUS_INVALIDATED = 2
} CUstreamCaptureStatus;
typedef enum CUgraphExecUpdateResult_enum {
    CU_GRAPH_EXEC_UPDATE_SUCCESS = 0,
    CU_GRAPH_EXEC_UPDATE_ERROR = 1,
    CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED = 2,
    CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED = 3,
    CU_GRAPH_EXEC_UPDATE_ERROR_FUNCTION_CHANGED = 4,
    CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED = 5,
    CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED = 6,
    CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE = 7,
    CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED = 8
} CUgraphExecUpdateResult;
typedef enum CUgraphInstantiateResult_enum {
    CUDA_GRAPH_INSTANTIATE_SUCCESS = 0,
    CUDA_GRAPH_INSTANTIATE_ERROR = 1,
    CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE = 2,
    CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED = 3,
    CUDA_GRAPH_INSTANTIATE_MULTIPLE_CTXS_NOT_SUPPORTED = 4
} CUgraphInstantiateResult;
typedef enum CUgraphConditionalNodeType_enum {
    CU_GRAPH_COND_TYPE_IF = 0,
    CU_GRAPH_COND_TYPE_WHILE = 1,
    CU_GRAPH_COND_TYPE_SWITCH = 2
} CUgraphConditionalNodeType;
typedef enum CUgraphDependencyType_enum {
    CU_GRAPH_DEPENDENCY_TYPE_DEFAULT = 0,
    CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC = 1
} CUgraphDependencyType;
#define CU_GRAPH_COND_ASSIGN_DEFAULT           0x1
#define CU_GRAPH_KERNEL_NODE_PORT_DEFAULT      0
#define CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC 1
#define CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER 2

typedef struct CUDA_KERNEL_NODE_PARAMS_v2_st {
    CUfunction func;
    unsigned int gridDimX;
    unsigned int gridDimY;
    unsigned int gridDimZ;
    unsigned int blockDimX;
    unsigned int blockDimY;
    unsigned int blockDimZ;
    unsigned int sharedMemBytes;
    void **kernelParams;
    void **extra;
    CUkernel kern;
    CUcontext ctx;
} CUDA_KERNEL_NODE_PARAMS;
typedef struct CUDA_MEMSET_NODE_PARAMS_st {
    CUdeviceptr dst;
    size_t pitch;
    unsigned int value;
    unsigned int elementSize;
    size_t width;
    size_t height;
} CUDA_MEMSET_NODE_PARAMS;
typedef struct CUDA_HOST_NODE_PARAMS_st {
    CUhostFn fn;
    void *userData;
} CUDA_HOST_NODE_PARAMS;
typedef struct CUDA_CONDITIONAL_NODE_PARAMS {
    CUgraphConditionalHandle handle;
    CUgraphConditionalNodeType type;
    unsigned int size;
    CUgraph *phGraph_out;
    CUcontext ctx;
} CUDA_CONDITIONAL_NODE_PARAMS;
/* Kernel nodes added through cuGraphAddNode: like CUDA_KERNEL_NODE_PARAMS_v2 in its first fields. */
typedef struct CUgraphNodeParams_st {
    CUgraphNodeType type;
    int reserved0[3];
    union {
        long long reserved1[29];
        CUDA_KERNEL_NODE_PARAMS kernel;
        CUDA_CONDITIONAL_NODE_PARAMS conditional;
    };
    long long reserved2;
} CUgraphNodeParams;
typedef struct CUgraphEdgeData_st {
    unsigned char from_port;
    unsigned char to_port;
    unsigned char type;
    unsigned char reserved[5];
} CUgraphEdgeData;
typedef struct CUgraphExecUpdateResultInfo_st {
    CUgraphExecUpdateResult result;
    CUgraphNode errorNode;
    CUgraphNode errorFromNode;
} CUgraphExecUpdateResultInfo;
typedef struct CUDA_GRAPH_INSTANTIATE_PARAMS_st {
    cuuint64_t flags;
    CUstream hUploadStream;
    CUgraphNode hErrNode_out;
    CUgraphInstantiateResult result_out;
} CUDA_GRAPH_INSTANTIATE_PARAMS;

#endif /* TGI_CUDA_NO_TYPES */

/* ---- Entry points -------------------------------------------------------------------------
 *
 * X(name, symbol, since, parameters): `since` is 0 for what every driver from CUDA 12.0 on has, and
 * otherwise the version that brought it; an older driver leaves such a pointer NULL. */
#define TGI_CUDA_CALLS(X)                                                                                    \
    /* errors, driver, devices */                                                                            \
    X(cuGetErrorName, cuGetErrorName, 0, (CUresult code, const char **name_p))                               \
    X(cuGetErrorString, cuGetErrorString, 0, (CUresult code, const char **text_p))                           \
    X(cuInit, cuInit, 0, (unsigned int flags))                                                               \
    X(cuDriverGetVersion, cuDriverGetVersion, 0, (int *version_p))                                           \
    X(cuDeviceGet, cuDeviceGet, 0, (CUdevice * device_p, int ordinal))                                       \
    X(cuDeviceGetCount, cuDeviceGetCount, 0, (int *n_p))                                                     \
    X(cuDeviceGetName, cuDeviceGetName, 0, (char *name, int size, CUdevice device))                          \
    X(cuDeviceGetUuid, cuDeviceGetUuid_v2, 0, (CUuuid * uuid_p, CUdevice device))                            \
    X(cuDeviceTotalMem, cuDeviceTotalMem_v2, 0, (size_t * bytes_p, CUdevice device))                         \
    X(cuDeviceGetAttribute, cuDeviceGetAttribute, 0,                                                         \
      (int *value_p, CUdevice_attribute attribute, CUdevice device))                                         \
    X(cuDeviceGetPCIBusId, cuDeviceGetPCIBusId, 0, (char *id, int size, CUdevice device))                    \
    X(cuDeviceCanAccessPeer, cuDeviceCanAccessPeer, 0, (int *can_p, CUdevice device, CUdevice peer))         \
    X(cuDeviceGetP2PAttribute, cuDeviceGetP2PAttribute, 0,                                                   \
      (int *value_p, CUdevice_P2PAttribute attribute, CUdevice from, CUdevice to))                           \
    X(cuDeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, 0, (CUmemoryPool * pool_p, CUdevice device))     \
    /* contexts */                                                                                           \
    X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 0, (CUcontext * ctx_p, CUdevice device))           \
    X(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, 0, (CUdevice device))                         \
    X(cuDevicePrimaryCtxSetFlags, cuDevicePrimaryCtxSetFlags_v2, 0, (CUdevice device, unsigned int flags))   \
    X(cuDevicePrimaryCtxGetState, cuDevicePrimaryCtxGetState, 0,                                             \
      (CUdevice device, unsigned int *flags_p, int *is_active_p))                                            \
    X(cuCtxSetCurrent, cuCtxSetCurrent, 0, (CUcontext ctx))                                                  \
    X(cuCtxGetCurrent, cuCtxGetCurrent, 0, (CUcontext * ctx_p))                                              \
    X(cuCtxPushCurrent, cuCtxPushCurrent_v2, 0, (CUcontext ctx))                                             \
    X(cuCtxPopCurrent, cuCtxPopCurrent_v2, 0, (CUcontext * ctx_p))                                           \
    X(cuCtxGetDevice, cuCtxGetDevice, 0, (CUdevice * device_p))                                              \
    X(cuCtxSynchronize, cuCtxSynchronize, 0, (void))                                                         \
    X(cuCtxGetStreamPriorityRange, cuCtxGetStreamPriorityRange, 0, (int *least_p, int *greatest_p))          \
    X(cuCtxEnablePeerAccess, cuCtxEnablePeerAccess, 0, (CUcontext peer, unsigned int flags))                 \
    X(cuCtxDisablePeerAccess, cuCtxDisablePeerAccess, 0, (CUcontext peer))                                   \
    /* streams and events */                                                                                 \
    X(cuStreamCreate, cuStreamCreate, 0, (CUstream * stream_p, unsigned int flags))                          \
    X(cuStreamCreateWithPriority, cuStreamCreateWithPriority, 0,                                             \
      (CUstream * stream_p, unsigned int flags, int priority))                                               \
    X(cuStreamDestroy, cuStreamDestroy_v2, 0, (CUstream stream))                                             \
    X(cuStreamSynchronize, cuStreamSynchronize, 0, (CUstream stream))                                        \
    X(cuStreamQuery, cuStreamQuery, 0, (CUstream stream))                                                    \
    X(cuStreamGetCtx, cuStreamGetCtx, 0, (CUstream stream, CUcontext * ctx_p))                               \
    X(cuStreamWaitEvent, cuStreamWaitEvent, 0, (CUstream stream, CUevent event, unsigned int flags))         \
    X(cuStreamBeginCapture, cuStreamBeginCapture_v2, 0, (CUstream stream, CUstreamCaptureMode mode))         \
    X(cuStreamEndCapture, cuStreamEndCapture, 0, (CUstream stream, CUgraph * graph_p))                       \
    X(cuStreamIsCapturing, cuStreamIsCapturing, 0, (CUstream stream, CUstreamCaptureStatus * status_p))      \
    X(cuStreamGetCaptureInfo, cuStreamGetCaptureInfo_v2, 0,                                                  \
      (CUstream stream, CUstreamCaptureStatus * status_p, cuuint64_t * id_p, CUgraph * graph_p,              \
       const CUgraphNode **dependencies_p, size_t *n_p))                                                     \
    X(cuStreamUpdateCaptureDependencies, cuStreamUpdateCaptureDependencies, 0,                               \
      (CUstream stream, CUgraphNode * dependencies, size_t n, unsigned int flags))                           \
    X(cuThreadExchangeStreamCaptureMode, cuThreadExchangeStreamCaptureMode, 0, (CUstreamCaptureMode * mode)) \
    X(cuLaunchHostFunc, cuLaunchHostFunc, 0, (CUstream stream, CUhostFn fn, void *user))                     \
    X(cuEventCreate, cuEventCreate, 0, (CUevent * event_p, unsigned int flags))                              \
    X(cuEventRecord, cuEventRecord, 0, (CUevent event, CUstream stream))                                     \
    X(cuEventRecordWithFlags, cuEventRecordWithFlags, 0,                                                     \
      (CUevent event, CUstream stream, unsigned int flags))                                                  \
    X(cuEventQuery, cuEventQuery, 0, (CUevent event))                                                        \
    X(cuEventSynchronize, cuEventSynchronize, 0, (CUevent event))                                            \
    X(cuEventElapsedTime, cuEventElapsedTime, 0, (float *ms_p, CUevent begin, CUevent end))                  \
    X(cuEventDestroy, cuEventDestroy_v2, 0, (CUevent event))                                                 \
    /* memory */                                                                                             \
    X(cuMemGetInfo, cuMemGetInfo_v2, 0, (size_t * free_p, size_t * total_p))                                 \
    X(cuMemAlloc, cuMemAlloc_v2, 0, (CUdeviceptr * ptr_p, size_t bytes))                                     \
    X(cuMemFree, cuMemFree_v2, 0, (CUdeviceptr ptr))                                                         \
    X(cuMemAllocHost, cuMemAllocHost_v2, 0, (void **ptr_p, size_t bytes))                                    \
    X(cuMemHostAlloc, cuMemHostAlloc, 0, (void **ptr_p, size_t bytes, unsigned int flags))                   \
    X(cuMemFreeHost, cuMemFreeHost, 0, (void *ptr))                                                          \
    X(cuMemHostRegister, cuMemHostRegister_v2, 0, (void *ptr, size_t bytes, unsigned int flags))             \
    X(cuMemHostUnregister, cuMemHostUnregister, 0, (void *ptr))                                              \
    X(cuMemHostGetDevicePointer, cuMemHostGetDevicePointer_v2, 0,                                            \
      (CUdeviceptr * device_p, void *host, unsigned int flags))                                              \
    X(cuPointerGetAttribute, cuPointerGetAttribute, 0,                                                       \
      (void *value_p, CUpointer_attribute attribute, CUdeviceptr ptr))                                       \
    X(cuPointerGetAttributes, cuPointerGetAttributes, 0,                                                     \
      (unsigned int n, CUpointer_attribute *attributes, void **values, CUdeviceptr ptr))                     \
    X(cuMemcpyHtoD, cuMemcpyHtoD_v2, 0, (CUdeviceptr to, const void *from, size_t bytes))                    \
    X(cuMemcpyDtoH, cuMemcpyDtoH_v2, 0, (void *to, CUdeviceptr from, size_t bytes))                          \
    X(cuMemcpyDtoD, cuMemcpyDtoD_v2, 0, (CUdeviceptr to, CUdeviceptr from, size_t bytes))                    \
    X(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, 0,                                                            \
      (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                                     \
    X(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, 0,                                                            \
      (void *to, CUdeviceptr from, size_t bytes, CUstream stream))                                           \
    X(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, 0,                                                            \
      (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                                     \
    X(cuMemcpyAsync, cuMemcpyAsync, 0, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))    \
    X(cuMemcpyPeerAsync, cuMemcpyPeerAsync, 0,                                                               \
      (CUdeviceptr to, CUcontext to_ctx, CUdeviceptr from, CUcontext from_ctx, size_t bytes,                 \
       CUstream stream))                                                                                     \
    X(cuMemcpy2DAsync, cuMemcpy2DAsync_v2, 0, (const CUDA_MEMCPY2D *copy, CUstream stream))                  \
    X(cuMemsetD8Async, cuMemsetD8Async, 0, (CUdeviceptr to, unsigned char value, size_t n, CUstream stream)) \
    X(cuMemsetD16Async, cuMemsetD16Async, 0,                                                                 \
      (CUdeviceptr to, unsigned short value, size_t n, CUstream stream))                                     \
    X(cuMemsetD32Async, cuMemsetD32Async, 0,                                                                 \
      (CUdeviceptr to, unsigned int value, size_t n, CUstream stream))                                       \
    X(cuMemAllocAsync, cuMemAllocAsync, 0, (CUdeviceptr * ptr_p, size_t bytes, CUstream stream))             \
    X(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, 0,                                                   \
      (CUdeviceptr * ptr_p, size_t bytes, CUmemoryPool pool, CUstream stream))                               \
    X(cuMemFreeAsync, cuMemFreeAsync, 0, (CUdeviceptr ptr, CUstream stream))                                 \
    X(cuMemPoolCreate, cuMemPoolCreate, 0, (CUmemoryPool * pool_p, const CUmemPoolProps *props))             \
    X(cuMemPoolDestroy, cuMemPoolDestroy, 0, (CUmemoryPool pool))                                            \
    X(cuMemPoolTrimTo, cuMemPoolTrimTo, 0, (CUmemoryPool pool, size_t keep_bytes))                           \
    X(cuMemPoolSetAttribute, cuMemPoolSetAttribute, 0,                                                       \
      (CUmemoryPool pool, CUmemPool_attribute attribute, void *value))                                       \
    X(cuMemPoolGetAttribute, cuMemPoolGetAttribute, 0,                                                       \
      (CUmemoryPool pool, CUmemPool_attribute attribute, void *value))                                       \
    X(cuMemPoolSetAccess, cuMemPoolSetAccess, 0, (CUmemoryPool pool, const CUmemAccessDesc *map, size_t n))  \
    /* code */                                                                                               \
    X(cuModuleLoadData, cuModuleLoadData, 0, (CUmodule * module_p, const void *image))                       \
    X(cuModuleLoadDataEx, cuModuleLoadDataEx, 0,                                                             \
      (CUmodule * module_p, const void *image, unsigned int n, CUjit_option *options, void **values))        \
    X(cuModuleUnload, cuModuleUnload, 0, (CUmodule module))                                                  \
    X(cuModuleGetFunction, cuModuleGetFunction, 0,                                                           \
      (CUfunction * function_p, CUmodule module, const char *name))                                          \
    X(cuModuleGetGlobal, cuModuleGetGlobal_v2, 0,                                                            \
      (CUdeviceptr * ptr_p, size_t * bytes_p, CUmodule module, const char *name))                            \
    X(cuLibraryLoadData, cuLibraryLoadData, 0,                                                               \
      (CUlibrary * library_p, const void *image, CUjit_option *jit, void **jit_values, unsigned int n_jit,   \
       CUlibraryOption *options, void **values, unsigned int n))                                             \
    X(cuLibraryUnload, cuLibraryUnload, 0, (CUlibrary library))                                              \
    X(cuLibraryGetKernel, cuLibraryGetKernel, 0, (CUkernel * kernel_p, CUlibrary library, const char *name)) \
    X(cuKernelGetFunction, cuKernelGetFunction, 0, (CUfunction * function_p, CUkernel kernel))               \
    X(cuFuncGetAttribute, cuFuncGetAttribute, 0,                                                             \
      (int *value_p, CUfunction_attribute attribute, CUfunction f))                                          \
    X(cuFuncSetAttribute, cuFuncSetAttribute, 0, (CUfunction f, CUfunction_attribute attribute, int value))  \
    X(cuFuncGetParamInfo, cuFuncGetParamInfo, 12040,                                                         \
      (CUfunction f, size_t index, size_t * offset_p, size_t * size_p))                                      \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor, cuOccupancyMaxActiveBlocksPerMultiprocessor, 0,           \
      (int *n_p, CUfunction f, int block_size, size_t shared_bytes))                                         \
    X(cuOccupancyMaxPotentialBlockSize, cuOccupancyMaxPotentialBlockSize, 0,                                 \
      (int *min_grid_p, int *block_p, CUfunction f, CUoccupancyB2DSize shared, size_t shared_bytes,          \
       int limit))                                                                                           \
    /* launches */                                                                                           \
    X(cuLaunchKernel, cuLaunchKernel, 0,                                                                     \
      (CUfunction f, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,    \
       unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void **args,  \
       void **extra))                                                                                        \
    X(cuLaunchKernelEx, cuLaunchKernelEx, 0,                                                                 \
      (const CUlaunchConfig *config, CUfunction f, void **args, void **extra))                               \
    X(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel, 0,                                               \
      (CUfunction f, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,    \
       unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void **args)) \
    /* graphs */                                                                                             \
    X(cuGraphCreate, cuGraphCreate, 0, (CUgraph * graph_p, unsigned int flags))                              \
    X(cuGraphDestroy, cuGraphDestroy, 0, (CUgraph graph))                                                    \
    X(cuGraphClone, cuGraphClone, 0, (CUgraph * clone_p, CUgraph graph))                                     \
    X(cuGraphAddKernelNode, cuGraphAddKernelNode_v2, 0,                                                      \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n,                              \
       const CUDA_KERNEL_NODE_PARAMS *params))                                                               \
    X(cuGraphAddMemcpyNode, cuGraphAddMemcpyNode, 0,                                                         \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n, const CUDA_MEMCPY3D *copy,   \
       CUcontext ctx))                                                                                       \
    X(cuGraphAddMemsetNode, cuGraphAddMemsetNode, 0,                                                         \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n,                              \
       const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx))                                                \
    X(cuGraphAddHostNode, cuGraphAddHostNode, 0,                                                             \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n,                              \
       const CUDA_HOST_NODE_PARAMS *params))                                                                 \
    X(cuGraphAddEmptyNode, cuGraphAddEmptyNode, 0,                                                           \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n))                             \
    X(cuGraphAddChildGraphNode, cuGraphAddChildGraphNode, 0,                                                 \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n, CUgraph child))              \
    X(cuGraphAddEventRecordNode, cuGraphAddEventRecordNode, 0,                                               \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n, CUevent event))              \
    X(cuGraphAddEventWaitNode, cuGraphAddEventWaitNode, 0,                                                   \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, size_t n, CUevent event))              \
    X(cuGraphAddNode, cuGraphAddNode_v2, 12030,                                                              \
      (CUgraphNode * node_p, CUgraph graph, const CUgraphNode *after, const CUgraphEdgeData *edges,          \
       size_t n, CUgraphNodeParams *params))                                                                 \
    X(cuGraphConditionalHandleCreate, cuGraphConditionalHandleCreate, 12030,                                 \
      (CUgraphConditionalHandle * handle_p, CUgraph graph, CUcontext ctx, unsigned int initial,              \
       unsigned int flags))                                                                                  \
    X(cuGraphAddDependencies, cuGraphAddDependencies, 0,                                                     \
      (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t n))                             \
    X(cuGraphAddDependenciesEx, cuGraphAddDependencies_v2, 12030,                                            \
      (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, const CUgraphEdgeData *edges,          \
       size_t n))                                                                                            \
    X(cuGraphGetNodes, cuGraphGetNodes, 0, (CUgraph graph, CUgraphNode * nodes, size_t * n_p))               \
    X(cuGraphGetEdges, cuGraphGetEdges, 0,                                                                   \
      (CUgraph graph, CUgraphNode * from, CUgraphNode * to, size_t * n_p))                                   \
    X(cuGraphNodeGetType, cuGraphNodeGetType, 0, (CUgraphNode node, CUgraphNodeType * type_p))               \
    X(cuGraphDestroyNode, cuGraphDestroyNode, 0, (CUgraphNode node))                                         \
    X(cuGraphKernelNodeGetParams, cuGraphKernelNodeGetParams_v2, 0,                                          \
      (CUgraphNode node, CUDA_KERNEL_NODE_PARAMS * params_p))                                                \
    X(cuGraphKernelNodeSetParams, cuGraphKernelNodeSetParams_v2, 0,                                          \
      (CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *params))                                             \
    X(cuGraphKernelNodeSetAttribute, cuGraphKernelNodeSetAttribute, 0,                                       \
      (CUgraphNode node, CUlaunchAttributeID attribute, const CUlaunchAttributeValue *value))                \
    X(cuGraphInstantiateWithFlags, cuGraphInstantiateWithFlags, 0,                                           \
      (CUgraphExec * exec_p, CUgraph graph, unsigned long long flags))                                       \
    X(cuGraphInstantiateWithParams, cuGraphInstantiateWithParams, 0,                                         \
      (CUgraphExec * exec_p, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS * params))                         \
    X(cuGraphExecDestroy, cuGraphExecDestroy, 0, (CUgraphExec exec))                                         \
    X(cuGraphUpload, cuGraphUpload, 0, (CUgraphExec exec, CUstream stream))                                  \
    X(cuGraphLaunch, cuGraphLaunch, 0, (CUgraphExec exec, CUstream stream))                                  \
    X(cuGraphExecUpdate, cuGraphExecUpdate_v2, 0,                                                            \
      (CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo * info_p))                               \
    X(cuGraphExecKernelNodeSetParams, cuGraphExecKernelNodeSetParams_v2, 0,                                  \
      (CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *params))                           \
    X(cuGraphExecMemcpyNodeSetParams, cuGraphExecMemcpyNodeSetParams, 0,                                     \
      (CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D *copy, CUcontext ctx))                        \
    X(cuGraphExecMemsetNodeSetParams, cuGraphExecMemsetNodeSetParams, 0,                                     \
      (CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx))            \
    X(cuGraphExecHostNodeSetParams, cuGraphExecHostNodeSetParams, 0,                                         \
      (CUgraphExec exec, CUgraphNode node, const CUDA_HOST_NODE_PARAMS *params))

#endif
