/* The API of the stand-in NCCL: communicators, checks, groups. */
#include "tests/standin/nccl.h"

#include <stdarg.h>
#include <stdlib.h>

#include "tests/standin/nccl_internal.h"

#define EXPORT_X(type, name, params) __attribute__((visibility("default"))) type name params;
NCCL_FUNCTIONS(EXPORT_X)

enum { MAX_FAILURES = 16 };

struct nccl_state nccl = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct failure {
    char call[32];
    unsigned left;
    ncclResult_t code;
} failures[MAX_FAILURES];
static unsigned n_hits; /* under the lock */

static __thread struct group {
    unsigned depth;
    ncclResult_t rc; /* of the first call that failed */
    struct nccl_call *calls;
    size_t n;
} group;

/* ---- Errors -------------------------------------------------------------------------------*/

const char *nccl_kind_name(enum nccl_kind kind)
{
    static const char *const names[] = {"ncclAllReduce",     "ncclBroadcast", "ncclReduce", "ncclAllGather",
                                        "ncclReduceScatter", "ncclSend",      "ncclRecv"};
    return names[kind];
}

const char *nccl_type_name(ncclDataType_t type)
{
    static const char *const names[] = {"int8",   "uint8",   "int32",   "uint32",  "int64",
                                        "uint64", "float16", "float32", "float64", "bfloat16"};
    return names[type];
}

static ncclResult_t set_error(ncclResult_t rc, const char *format, ...) __attribute__((format(printf, 2, 3)));
static ncclResult_t set_error(ncclResult_t rc, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(nccl.text, sizeof nccl.text, format, values);
    va_end(values);
    return rc;
}

ncclResult_t nccl_misuse(const char *format, ...)
{
    char text[sizeof nccl.text + 16];
    va_list values;
    va_start(values, format);
    vsnprintf(nccl.text, sizeof nccl.text, format, values);
    va_end(values);
    snprintf(text, sizeof text, "nccl: %s", nccl.text);
    nccl.standin.standin_report(text);
    return ncclInvalidUsage;
}

ncclResult_t nccl_cuda(CUresult rc, const char *what)
{
    return rc == CUDA_SUCCESS ? ncclSuccess
                              : set_error(ncclUnhandledCudaError, "%s returned %d", what, (int)rc);
}

static ncclResult_t injected(const char *call)
{
    for (int i = 0; i < MAX_FAILURES; i++)
        if (failures[i].left && strcmp(failures[i].call, call) == 0 && --failures[i].left == 0) {
            n_hits++;
            return set_error(failures[i].code, "%s fails on demand", call);
        }
    return ncclSuccess;
}

static void add_failure(const char *call, unsigned nth, ncclResult_t code)
{
    struct failure *room = NULL;
    for (int i = 0; i < MAX_FAILURES; i++) {
        if (strcmp(failures[i].call, call) == 0)
            failures[i].left = 0;
        if (!failures[i].left)
            room = &failures[i];
    }
    if (!room || !code)
        return;
    snprintf(room->call, sizeof room->call, "%s", call);
    room->left = nth;
    room->code = code;
}

/* ---- Setting up ---------------------------------------------------------------------------*/

__attribute__((constructor)) static void read_environment(void)
{
    const char *fail = getenv("TGRAPH_STANDIN_NCCL_FAIL"), *async = getenv("TGRAPH_STANDIN_NCCL_ASYNC");
    char call[32];
    unsigned nth;
    int code;
    while (fail && sscanf(fail, "%31[a-zA-Z]:%u:%d", call, &nth, &code) == 3) {
        add_failure(call, nth, (ncclResult_t)code);
        fail = strchr(fail, ',');
        fail += fail != NULL;
    }
    if (async && sscanf(async, "%u:%d", &nth, &code) == 2) {
        nccl.async_at = nth;
        nccl.async_code = (ncclResult_t)code;
    }
}

/* Finds the driver, which must be in the process, and be the stand-in. */
static ncclResult_t attach_locked(void)
{
    const char *path = getenv("TGRAPH_CUDA_DRIVER");
    void *address;
    if (nccl.standin.handle)
        return ncclSuccess;
    struct standin standin;
    if (!path || !standin_load(&standin, path))
        return set_error(ncclSystemError, "TGRAPH_CUDA_DRIVER names no stand-in driver");
#define FIND_X(name, symbol, since, params)   \
    address = dlsym(standin.handle, #symbol); \
    memcpy(&nccl.name, &address, sizeof address);
    TGI_CUDA_CALLS(FIND_X)
#undef FIND_X
    nccl.standin = standin;
    if (!nccl_register_kernels()) {
        nccl.standin.handle = NULL;
        return ncclSystemError;
    }
    return ncclSuccess;
}

/* ---- Communicators ------------------------------------------------------------------------*/

static bool is_comm(ncclComm_t comm)
{
    for (struct ncclComm *c = nccl.comms; c; c = c->next)
        if (c == comm)
            return !c->is_gone;
    return false;
}

static void comm_free(ncclComm_t comm)
{
    CUcontext current = NULL;
    nccl.cuCtxGetCurrent(&current);
    if (comm->ctx && nccl.cuCtxSetCurrent(comm->ctx) == CUDA_SUCCESS && comm->module)
        nccl.cuModuleUnload(comm->module);
    nccl.cuCtxSetCurrent(current);
    if (comm->ctx)
        nccl.cuDevicePrimaryCtxRelease(comm->device);
    if (--comm->clique->n_refs == 0)
        free(comm->clique);
    free(comm);
}

/* Frees operations that are over, and then communicators that are gone and wait for nothing. */
static void reap_locked(void)
{
    for (struct work **at = &nccl.works; *at;) {
        struct work *w = *at;
        /* acquire: pairs with the release of the last kernel to take. */
        if (atomic_load_explicit(&w->is_done, memory_order_acquire)) {
            *at = w->next;
            free(w);
        } else
            at = &w->next;
    }
    for (struct ncclComm **at = &nccl.comms; *at;) {
        struct ncclComm *c = *at;
        /* acquire: the kernels have finished with it. */
        if (c->is_gone && atomic_load_explicit(&c->n_pending, memory_order_acquire) == 0) {
            *at = c->next;
            comm_free(c);
        } else
            at = &c->next;
    }
}

static ncclResult_t comm_open(ncclComm_t c)
{
    static const char image[] = "standin 1\nkernel standin_nccl_give\nkernel standin_nccl_take\n";
    ncclResult_t rc =
        nccl_cuda(nccl.cuDevicePrimaryCtxRetain(&c->ctx, c->device), "cuDevicePrimaryCtxRetain");
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuCtxSetCurrent(c->ctx), "cuCtxSetCurrent");
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuModuleLoadData(&c->module, image), "cuModuleLoadData");
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuModuleGetFunction(&c->give, c->module, "standin_nccl_give"),
                       "cuModuleGetFunction");
    if (rc == ncclSuccess)
        rc = nccl_cuda(nccl.cuModuleGetFunction(&c->take, c->module, "standin_nccl_take"),
                       "cuModuleGetFunction");
    return rc;
}

static ncclResult_t check_devices(int n, const int *devices)
{
    int n_devices = 0;
    ncclResult_t rc = nccl_cuda(nccl.cuDeviceGetCount(&n_devices), "cuDeviceGetCount");
    if (rc != ncclSuccess)
        return rc;
    if (n <= 0 || n > NCCL_MAX_RANKS)
        return set_error(ncclInvalidArgument, "%d ranks", n);
    for (int i = 0; i < n; i++) {
        int device = devices ? devices[i] : i;
        if (device < 0 || device >= n_devices)
            return set_error(ncclInvalidArgument, "there is no device %d", device);
        for (int k = 0; devices && k < i; k++)
            if (devices[k] == device)
                return nccl_misuse("ranks %d and %d are both on device %d", k, i, device);
    }
    return ncclSuccess;
}

static ncclResult_t init_locked(ncclComm_t *comms, int n, const int *devices)
{
    CUcontext current = NULL;
    ncclResult_t rc = check_devices(n, devices);
    struct clique *q = rc == ncclSuccess ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return rc == ncclSuccess ? ncclSystemError : rc;
    nccl.cuCtxGetCurrent(&current);
    for (int r = 0; r < n && rc == ncclSuccess; r++) {
        ncclComm_t c = q->comm[r] = calloc(1, sizeof *c);
        if (!c) {
            rc = ncclSystemError;
            break;
        }
        q->n_refs++;
        q->n_ranks++;
        *c = (struct ncclComm){.clique = q, .rank = r, .device = devices ? devices[r] : r};
        rc = comm_open(c);
    }
    nccl.cuCtxSetCurrent(current);
    if (rc != ncclSuccess) {
        int n_made = q->n_ranks;
        ncclComm_t made[NCCL_MAX_RANKS];
        memcpy(made, q->comm, sizeof made);
        if (n_made == 0)
            free(q);
        for (int r = 0; r < n_made; r++)
            comm_free(made[r]);
        return rc;
    }
    for (int r = 0; r < n; r++) {
        comms[r] = q->comm[r];
        comms[r]->next = nccl.comms;
        nccl.comms = comms[r];
    }
    return ncclSuccess;
}

ncclResult_t ncclCommInitAll(ncclComm_t *comms, int n, const int *devices)
{
    pthread_mutex_lock(&nccl.lock);
    ncclResult_t rc = injected("ncclCommInitAll");
    if (rc == ncclSuccess && !comms)
        rc = ncclInvalidArgument;
    if (rc == ncclSuccess)
        rc = attach_locked();
    if (rc == ncclSuccess) {
        reap_locked();
        nccl.standin.standin_library_enter();
        rc = init_locked(comms, n, devices);
        nccl.standin.standin_library_leave();
    }
    pthread_mutex_unlock(&nccl.lock);
    return rc;
}

/* Locks, and checks the communicator; the caller unlocks in any case. */
static ncclResult_t begin(const char *call, ncclComm_t comm)
{
    pthread_mutex_lock(&nccl.lock);
    ncclResult_t rc = injected(call);
    if (rc == ncclSuccess && !is_comm(comm))
        rc = set_error(ncclInvalidArgument, "%s: this is no communicator", call);
    return rc;
}
static ncclResult_t end(ncclResult_t rc)
{
    pthread_mutex_unlock(&nccl.lock);
    return rc;
}

static void comm_leave_locked(ncclComm_t comm)
{
    comm->is_gone = true;
    comm->clique->comm[comm->rank] = NULL;
    reap_locked();
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) { return end(begin("ncclCommFinalize", comm)); }

/* NCCL waits for nothing here, and frees what kernels still use. */
ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    ncclResult_t rc = begin("ncclCommDestroy", comm);
    if (rc == ncclSuccess) {
        if (atomic_load_explicit(&comm->n_pending, memory_order_acquire))
            nccl_misuse("rank %d is destroyed while its operations run", comm->rank);
        comm_leave_locked(comm);
    }
    return end(rc);
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    ncclResult_t rc = begin("ncclCommAbort", comm);
    if (rc == ncclSuccess) {
        atomic_store_explicit(&comm->is_aborted, true, memory_order_relaxed);
        nccl.standin.standin_hold("standin_nccl_take", false);
        comm_leave_locked(comm);
    }
    return end(rc);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    ncclResult_t rc = begin("ncclCommGetAsyncError", comm);
    if (rc == ncclSuccess && !error)
        rc = ncclInvalidArgument;
    if (rc == ncclSuccess)
        *error = comm->clique->async;
    return end(rc);
}

static ncclResult_t get_number(const char *call, ncclComm_t comm, int *to, int which)
{
    ncclResult_t rc = begin(call, comm);
    if (rc == ncclSuccess)
        *to = which == 0 ? comm->clique->n_ranks : which == 1 ? comm->device : comm->rank;
    return end(rc);
}
ncclResult_t ncclCommCount(const ncclComm_t comm, int *n) { return get_number("ncclCommCount", comm, n, 0); }
ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int *device)
{
    return get_number("ncclCommCuDevice", comm, device, 1);
}
ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank)
{
    return get_number("ncclCommUserRank", comm, rank, 2);
}

/* ---- Groups -------------------------------------------------------------------------------*/

static ncclResult_t group_end(void)
{
    if (group.depth == 0)
        return ncclInvalidUsage;
    if (--group.depth > 0)
        return ncclSuccess;
    pthread_mutex_lock(&nccl.lock);
    ncclResult_t rc = group.rc;
    for (size_t i = 0; i < group.n && rc == ncclSuccess; i++)
        if (!is_comm(group.calls[i].comm))
            rc = nccl_misuse("a communicator was destroyed inside the group that uses it");
    if (rc == ncclSuccess && group.n) {
        reap_locked();
        nccl.standin.standin_library_enter();
        rc = nccl_run_group(group.calls, group.n);
        nccl.standin.standin_library_leave();
    }
    pthread_mutex_unlock(&nccl.lock);
    free(group.calls);
    group = (struct group){0};
    return rc;
}

ncclResult_t ncclGroupStart(void)
{
    pthread_mutex_lock(&nccl.lock);
    ncclResult_t rc = injected("ncclGroupStart");
    group.depth += rc == ncclSuccess;
    return end(rc);
}

/* A group that fails on demand has no effect, and is over. */
ncclResult_t ncclGroupEnd(void)
{
    pthread_mutex_lock(&nccl.lock);
    ncclResult_t rc = group.depth == 1 ? injected("ncclGroupEnd") : ncclSuccess;
    pthread_mutex_unlock(&nccl.lock);
    if (rc != ncclSuccess && group.rc == ncclSuccess)
        group.rc = rc;
    return group_end();
}

static ncclResult_t check(const struct nccl_call *c)
{
    bool has_peer = c->kind == BROADCAST || c->kind == REDUCE || c->kind == SEND || c->kind == RECV;
    bool is_root = c->comm->rank == c->peer;
    bool sends = c->kind != RECV && (c->kind != BROADCAST || is_root);
    bool receives = c->kind != SEND && (c->kind != REDUCE || is_root);
    if (c->comm->clique->async != ncclSuccess)
        return set_error(c->comm->clique->async, "the communicator has failed");
    if ((unsigned)c->type >= STANDIN_NCCL_N_TYPES)
        return set_error(ncclInvalidArgument, "%s: type %d", nccl_kind_name(c->kind), (int)c->type);
    if ((unsigned)c->op >= ncclNumOps)
        return set_error(ncclInvalidArgument, "%s: operation %d", nccl_kind_name(c->kind), (int)c->op);
    if (has_peer && (c->peer < 0 || c->peer >= c->comm->clique->n_ranks))
        return set_error(ncclInvalidArgument, "%s: rank %d", nccl_kind_name(c->kind), c->peer);
    if (c->count && ((sends && !c->send) || (receives && !c->recv)))
        return set_error(ncclInvalidArgument, "%s: a null pointer", nccl_kind_name(c->kind));
    return ncclSuccess;
}

static ncclResult_t add_call(const struct nccl_call *call)
{
    struct nccl_call *more;
    bool is_alone = group.depth == 0;
    ncclResult_t rc = begin(nccl_kind_name(call->kind), call->comm);
    if (rc == ncclSuccess)
        rc = check(call);
    if (rc == ncclSuccess && is_alone && call->comm->clique->n_ranks > 1)
        rc = nccl_misuse("rank %d calls %s outside a group, and one thread has all %d ranks",
                         call->comm->rank, nccl_kind_name(call->kind), call->comm->clique->n_ranks);
    if (rc == ncclSuccess) {
        more = realloc(group.calls, (group.n + 1) * sizeof *more);
        if (more) {
            group.calls = more;
            group.calls[group.n++] = *call;
        } else
            rc = ncclSystemError;
    }
    end(rc);
    if (!is_alone) {
        group.rc = group.rc == ncclSuccess ? rc : group.rc;
        return rc;
    }
    group.depth = 1;
    group.rc = rc;
    return group_end();
}

/* ---- Operations ---------------------------------------------------------------------------*/

#define ADDRESS(p) ((CUdeviceptr)(uintptr_t)(p))

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, CUstream stream)
{
    return add_call(&(struct nccl_call){ALL_REDUCE, comm, ADDRESS(send), ADDRESS(recv), count, type, op, 0,
                                        stream, false});
}
ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, CUstream stream)
{
    return add_call(&(struct nccl_call){BROADCAST, comm, ADDRESS(send), ADDRESS(recv), count, type, ncclSum,
                                        root, stream, false});
}
ncclResult_t ncclReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                        int root, ncclComm_t comm, CUstream stream)
{
    return add_call(&(struct nccl_call){REDUCE, comm, ADDRESS(send), ADDRESS(recv), count, type, op, root,
                                        stream, false});
}
ncclResult_t ncclAllGather(const void *send, void *recv, size_t count, ncclDataType_t type, ncclComm_t comm,
                           CUstream stream)
{
    return add_call(&(struct nccl_call){ALL_GATHER, comm, ADDRESS(send), ADDRESS(recv), count, type, ncclSum,
                                        0, stream, false});
}
ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, CUstream stream)
{
    return add_call(&(struct nccl_call){REDUCE_SCATTER, comm, ADDRESS(send), ADDRESS(recv), count, type, op,
                                        0, stream, false});
}
ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      CUstream stream)
{
    return add_call(
        &(struct nccl_call){SEND, comm, ADDRESS(send), 0, count, type, ncclSum, peer, stream, false});
}
ncclResult_t ncclRecv(void *recv, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      CUstream stream)
{
    return add_call(
        &(struct nccl_call){RECV, comm, 0, ADDRESS(recv), count, type, ncclSum, peer, stream, false});
}

/* ---- The rest -----------------------------------------------------------------------------*/

ncclResult_t ncclGetVersion(int *version)
{
    const char *text = getenv("TGRAPH_STANDIN_NCCL_VERSION");
    if (!version)
        return ncclInvalidArgument;
    pthread_mutex_lock(&nccl.lock);
    ncclResult_t rc = injected("ncclGetVersion");
    pthread_mutex_unlock(&nccl.lock);
    if (rc == ncclSuccess)
        *version = text && *text ? atoi(text) : 22809;
    return rc;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const texts[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return (unsigned)result < ncclNumResults ? texts[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return nccl.text;
}

void standin_nccl_reset(void)
{
    pthread_mutex_lock(&nccl.lock);
    while (nccl.works) {
        struct work *w = nccl.works;
        nccl.works = w->next;
        for (int r = 0; r < w->n_ranks; r++)
            free(w->part[r].given);
        free(w);
    }
    while (nccl.comms) {
        struct ncclComm *c = nccl.comms;
        nccl.comms = c->next;
        if (--c->clique->n_refs == 0)
            free(c->clique);
        free(c);
    }
    memset(failures, 0, sizeof failures);
    n_hits = 0;
    pthread_mutex_unlock(&nccl.lock);
}

void standin_nccl_fail(const char *call, unsigned nth, ncclResult_t code)
{
    pthread_mutex_lock(&nccl.lock);
    add_failure(call, nth, code);
    pthread_mutex_unlock(&nccl.lock);
}

unsigned standin_nccl_fail_hits(void)
{
    pthread_mutex_lock(&nccl.lock);
    unsigned n = n_hits;
    pthread_mutex_unlock(&nccl.lock);
    return n;
}

void standin_nccl_async(ncclResult_t code)
{
    pthread_mutex_lock(&nccl.lock);
    for (struct ncclComm *c = nccl.comms; c; c = c->next)
        c->clique->async = code;
    pthread_mutex_unlock(&nccl.lock);
}

void standin_nccl_hang(bool is_hanging)
{
    pthread_mutex_lock(&nccl.lock);
    if (attach_locked() == ncclSuccess)
        nccl.standin.standin_hold("standin_nccl_take", is_hanging);
    pthread_mutex_unlock(&nccl.lock);
}

unsigned standin_nccl_alive(void)
{
    unsigned n = 0;
    pthread_mutex_lock(&nccl.lock);
    reap_locked();
    for (struct ncclComm *c = nccl.comms; c; c = c->next)
        n += !c->is_gone;
    pthread_mutex_unlock(&nccl.lock);
    return n;
}

uint64_t standin_nccl_operations(void)
{
    pthread_mutex_lock(&nccl.lock);
    uint64_t n = nccl.n_operations;
    pthread_mutex_unlock(&nccl.lock);
    return n;
}
