/* Inside the stand-in NCCL.  One lock guards all but what kernels touch, which run with the driver's lock
 * held and take no other. */
#ifndef STANDIN_NCCL_INTERNAL_H
#define STANDIN_NCCL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/standin/nccl.h"
#include "tests/standin/standin.h"

enum { NCCL_MAX_RANKS = 16 };

enum nccl_kind { ALL_REDUCE, BROADCAST, REDUCE, ALL_GATHER, REDUCE_SCATTER, SEND, RECV };

/* What one ncclCommInitAll() made. */
struct clique {
    int n_ranks, n_refs;
    ncclComm_t comm[NCCL_MAX_RANKS];
    ncclResult_t async;
};
struct ncclComm {
    struct clique *clique;
    int rank, device;
    CUcontext ctx;
    CUmodule module;
    CUfunction give, take;
    atomic_uint n_pending;  /* kernels launched and not run: counted by API calls, down by kernels */
    atomic_bool is_aborted; /* set by ncclCommAbort(), read by kernels: relaxed, neither orders anything */
    bool is_gone;           /* destroyed or aborted, to be freed when nothing is pending */
    struct ncclComm *next;
};

struct nccl_call {
    enum nccl_kind kind;
    ncclComm_t comm;
    CUdeviceptr send, recv;
    size_t count;
    ncclDataType_t type;
    ncclRedOp_t op;
    int peer; /* or root */
    CUstream stream;
    bool is_taken;
};

/* An operation under way.  Of a pair, rank 0 sends and rank 1 receives. */
struct work {
    enum nccl_kind kind; /* SEND: a pair */
    size_t count;
    ncclDataType_t type;
    ncclRedOp_t op;
    int root, n_ranks;
    struct part {
        struct work *work;
        int rank;
        struct nccl_call call;
        unsigned char *given;
        CUevent event;
    } part[NCCL_MAX_RANKS];
    bool is_captured; /* may run again; freed with the library */
    int n_takes, n_left;
    atomic_bool is_done; /* release by the last kernel to take, acquire by who frees */
    struct work *next;
};

extern struct nccl_state {
    pthread_mutex_t lock;
    const char *error; /* for ncclGetLastError() */
    char text[512];
    struct ncclComm *comms;
    struct work *works;
    uint64_t n_operations;
    uint64_t async_at; /* from the environment; 0: never */
    ncclResult_t async_code;
    struct standin standin;
#define POINTER_X(name, symbol, since, params) CUresult(*name) params;
    TGI_CUDA_CALLS(POINTER_X)
#undef POINTER_X
} nccl;

const char *nccl_kind_name(enum nccl_kind kind);
const char *nccl_type_name(ncclDataType_t type);
size_t nccl_type_size(ncclDataType_t type);

/* Records the text for ncclGetLastError() and as a violation; returns ncclInvalidUsage. */
ncclResult_t nccl_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* 0, or ncclUnhandledCudaError with a text. */
ncclResult_t nccl_cuda(CUresult rc, const char *what);

/* Registers the two kernels with the driver. */
bool nccl_register_kernels(void);
size_t work_sent(const struct work *w, int rank);
size_t work_received(const struct work *w, int rank);

/* Matches the calls of a group and enqueues them, or none of them. */
ncclResult_t nccl_run_group(struct nccl_call *calls, size_t n);

#endif
