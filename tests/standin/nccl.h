/* A stand-in for NCCL 2.28, for tests: libstandin-nccl.so, on the stand-in driver that TGRAPH_CUDA_DRIVER names.
 *
 * An operation is two kernels on every rank's stream: one gives, and one takes after all ranks have given, with
 * values combined in the order of ranks.  All ranks of a communicator belong to one process and one thread, so
 * their calls must lie in one group.  What would hang or corrupt with NCCL is reported by the driver's
 * standin_violations() and returns ncclInvalidUsage: ranks that miss, that disagree about operation, type,
 * count, root or order, sends without receives, communicators destroyed while operations run.
 *
 * Environment, read when the library is loaded: TGRAPH_STANDIN_NCCL_FAIL (call:nth:code,...) and
 * TGRAPH_STANDIN_NCCL_ASYNC (nth:code: the nth operation gives an asynchronous error);
 * TGRAPH_STANDIN_NCCL_VERSION (22809). */
#ifndef STANDIN_NCCL_H
#define STANDIN_NCCL_H

#include <stdbool.h>

#include "gpu/cuda_api.h"

typedef struct ncclComm *ncclComm_t;
typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7,
    ncclNumResults = 8
} ncclResult_t;
typedef enum { ncclSum = 0, ncclProd = 1, ncclMax = 2, ncclMin = 3, ncclAvg = 4, ncclNumOps = 5 } ncclRedOp_t;
typedef enum {
    ncclInt8 = 0,
    ncclUint8 = 1,
    ncclInt32 = 2,
    ncclUint32 = 3,
    ncclInt64 = 4,
    ncclUint64 = 5,
    ncclFloat16 = 6,
    ncclFloat32 = 7,
    ncclFloat64 = 8,
    ncclBfloat16 = 9, /* types of 8 bits that follow are refused */
    STANDIN_NCCL_N_TYPES
} ncclDataType_t;

/* X(returned type, name, parameters) */
#define NCCL_FUNCTIONS(X)                                                                                    \
    X(ncclResult_t, ncclGetVersion, (int *version))                                                          \
    X(const char *, ncclGetErrorString, (ncclResult_t result))                                               \
    X(const char *, ncclGetLastError, (ncclComm_t comm))                                                     \
    X(ncclResult_t, ncclCommInitAll, (ncclComm_t * comms, int n, const int *devices))                        \
    X(ncclResult_t, ncclCommFinalize, (ncclComm_t comm))                                                     \
    X(ncclResult_t, ncclCommDestroy, (ncclComm_t comm))                                                      \
    X(ncclResult_t, ncclCommAbort, (ncclComm_t comm))                                                        \
    X(ncclResult_t, ncclCommGetAsyncError, (ncclComm_t comm, ncclResult_t * error))                          \
    X(ncclResult_t, ncclCommCount, (const ncclComm_t comm, int *n))                                          \
    X(ncclResult_t, ncclCommCuDevice, (const ncclComm_t comm, int *device))                                  \
    X(ncclResult_t, ncclCommUserRank, (const ncclComm_t comm, int *rank))                                    \
    X(ncclResult_t, ncclGroupStart, (void))                                                                  \
    X(ncclResult_t, ncclGroupEnd, (void))                                                                    \
    X(ncclResult_t, ncclAllReduce,                                                                           \
      (const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,     \
       CUstream stream))                                                                                     \
    X(ncclResult_t, ncclBroadcast,                                                                           \
      (const void *send, void *recv, size_t count, ncclDataType_t type, int root, ncclComm_t comm,           \
       CUstream stream))                                                                                     \
    X(ncclResult_t, ncclReduce,                                                                              \
      (const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op, int root,            \
       ncclComm_t comm, CUstream stream))                                                                    \
    X(ncclResult_t, ncclAllGather,                                                                           \
      (const void *send, void *recv, size_t count, ncclDataType_t type, ncclComm_t comm, CUstream stream))   \
    X(ncclResult_t, ncclReduceScatter,                                                                       \
      (const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,     \
       CUstream stream))                                                                                     \
    X(ncclResult_t, ncclSend,                                                                                \
      (const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, CUstream stream))     \
    X(ncclResult_t, ncclRecv,                                                                                \
      (void *recv, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, CUstream stream))           \
    /* Forgets communicators, operations and failures, and does not ask the driver, which has been reset. */ \
    X(void, standin_nccl_reset, (void))                                                                      \
    /* The nth call of this function, from now on, fails; code 0: none does. */                              \
    X(void, standin_nccl_fail, (const char *call, unsigned nth, ncclResult_t code))                          \
    /* Calls that have failed so since the reset. */                                                         \
    X(unsigned, standin_nccl_fail_hits, (void))                                                              \
    /* From now on this is the asynchronous error of all communicators that exist, and calls return it. */   \
    X(void, standin_nccl_async, (ncclResult_t code))                                                         \
    /* While hanging, no rank takes what the others give.  ncclCommAbort() ends it. */                       \
    X(void, standin_nccl_hang, (bool is_hanging))                                                            \
    /* Communicators that are neither destroyed nor aborted. */                                              \
    X(unsigned, standin_nccl_alive, (void))                                                                  \
    /* Operations enqueued since the library was loaded; sends and receives count once a pair. */            \
    X(uint64_t, standin_nccl_operations, (void))

#endif
