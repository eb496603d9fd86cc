/* See collective.h. */
#include "gpu/collective.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"

/* ---- The library's interface --------------------------------------------------------------*/

typedef struct nccl_comm *comm;
#define NCCL_CALLS(X) \
    X(GetVersion, (int *version)) \
    X(CommInitAll, (comm * comms, int n, const int *devices)) \
    X(CommDestroy, (comm c)) \
    X(CommAbort, (comm c)) \
    X(CommGetAsyncError, (comm c, int *error)) \
    X(GroupStart, (void)) \
    X(GroupEnd, (void)) \
    X(AllReduce, (const void *from, void *to, size_t n, int type, int op, comm c, CUstream stream)) \
    X(Broadcast, (const void *from, void *to, size_t n, int type, int root, comm c, CUstream stream)) \
    X(Reduce, (const void *from, void *to, size_t n, int type, int op, int root, comm c, CUstream stream)) \
    X(AllGather, (const void *from, void *to, size_t n, int type, comm c, CUstream stream)) \
    X(ReduceScatter, (const void *from, void *to, size_t n, int type, int op, comm c, CUstream stream)) \
    X(Send, (const void *from, size_t n, int type, int peer, comm c, CUstream stream)) \
    X(Recv, (void *to, size_t n, int type, int peer, comm c, CUstream stream))

enum { MAX_TEAMS = 64, OLDEST_VERSION = 21800 };

/* A communicator for devices in the order of their ranks. */
struct team {
    uint32_t n;
    uint32_t devices[TGI_MAX_DEVICES];
    comm comms[TGI_MAX_DEVICES];
};

struct tgi_cuda_collective {
    void *handle;
    const char *(*GetErrorString)(int rc);
#define POINTER_X(name, params) int(*name) params;
    NCCL_CALLS(POINTER_X)
#undef POINTER_X
    struct team teams[MAX_TEAMS];
    uint32_t n_teams;
    struct tg_error lost; /* status 0: all is well */
};

static bool find_calls(struct tgi_cuda_collective *c, void *handle)
{
    void *address = dlsym(handle, "ncclGetErrorString");
    memcpy(&c->GetErrorString, &address, sizeof address);
    bool ok = address != NULL;
#define FIND_X(name, params) \
    address = dlsym(handle, "nccl" #name); \
    memcpy(&c->name, &address, sizeof address); \
    ok = ok && address;
    NCCL_CALLS(FIND_X)
#undef FIND_X
    return ok;
}

static int open_library(struct tgi_cuda_collective *c, int *version_p, struct tg_error *err)
{
    const char *wanted = getenv("TGRAPH_NCCL");
    /* Multicast objects cannot be relied on inside containers; without them NCCL takes its other algorithms. */
    setenv("NCCL_NVLS_ENABLE", "0", 0);
    void *handle = dlopen(wanted && *wanted ? wanted : "libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *why = dlerror();
        return tgi_error(err, TG_E_NO_LIBRARY, "%s", why ? why : "libnccl.so.2");
    }
    if (find_calls(c, handle) && c->GetVersion(version_p) == 0 && *version_p >= OLDEST_VERSION) {
        c->handle = handle;
        return 0;
    }
    dlclose(handle);
    return tgi_error(err, TG_E_NO_LIBRARY, "NCCL is older than %d.%d", OLDEST_VERSION / 10000, OLDEST_VERSION / 100 % 100);
}

int tgi_nccl_version(char *text, size_t size, struct tg_error *err)
{
    struct tgi_cuda_collective c = {0};
    int v, rc = open_library(&c, &v, err);
    if (rc)
        return rc;
    snprintf(text, size, "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    return 0; /* it stays loaded, as for blas.c */
}

static struct tgi_cuda_collective *collective_of(struct tgi_cuda *cuda)
{
    /* acquire: pairs with the release in load(). */
    return atomic_load_explicit(&cuda->collective, memory_order_acquire);
}

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;

/* NULL handle afterwards: there is no library that will do. */
static struct tgi_cuda_collective *load_locked(void)
{
    int version;
    struct tgi_cuda_collective *c = calloc(1, sizeof *c);
    if (c)
        open_library(c, &version, NULL);
    return c;
}

/* Any thread that places a run may be the first to ask. */
static struct tgi_cuda_collective *load(struct tgi_cuda *cuda)
{
    struct tgi_cuda_collective *c = collective_of(cuda);
    if (c)
        return c;
    pthread_mutex_lock(&load_lock);
    c = collective_of(cuda);
    if (!c && (c = load_locked()))
        atomic_store_explicit(&cuda->collective, c, memory_order_release);
    pthread_mutex_unlock(&load_lock);
    return c;
}

/* ---- Types --------------------------------------------------------------------------------*/

/* NCCL's number of a type; -1: it has none.  Copies only need its size. */
static int type_of(enum tg_dtype type, bool is_reduced)
{
    static const int types[TG_N_DTYPES] = {[TG_F16] = 6, [TG_BF16] = 9, [TG_F32] = 7, [TG_F64] = 8, [TG_I8] = 0,
                                           [TG_I16] = -1, [TG_I32] = 2, [TG_I64] = 4, [TG_U8] = 1, [TG_U16] = -1,
                                           [TG_U32] = 3, [TG_U64] = 5, [TG_C64] = -1, [TG_C128] = -1};
    return is_reduced ? types[type] : 1;
}

static bool is_reduction(enum tg_collective what)
{
    return what == TG_ALLREDUCE || what == TG_REDUCE_TO || what == TG_REDUCESCATTER;
}

bool tgi_cuda_can_collect(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint32_t n_ranks,
                          const uint32_t *device_of)
{
    uint32_t seen = 0;
    if (type_of(dtype, is_reduction(op->collective)) < 0)
        return false;
    for (uint32_t i = 0; i < n_ranks; i++) {
        if (seen >> device_of[i] & 1)
            return false;
        seen |= 1u << device_of[i];
    }
    struct tgi_cuda_collective *c = load(tgi_cuda_of(ds));
    return c && c->handle;
}

/* ---- Communicators ------------------------------------------------------------------------*/

static void format_devices(const struct tgi_cuda *cuda, const struct team *t, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < t->n && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%scuda:%u", i ? ", " : "", cuda->base.ordinal[t->devices[i]]);
}

/* Every communicator of the process is aborted before any is freed: aborting frees it. */
static void abort_all(struct tgi_cuda_collective *c)
{
    for (uint32_t i = 0; i < c->n_teams; i++)
        for (uint32_t k = 0; k < c->teams[i].n; k++)
            c->CommAbort(c->teams[i].comms[k]);
    c->n_teams = 0;
}

static int lose(struct tgi_cuda *cuda, const struct team *t, const char *what, int answer, struct tg_error *err)
{
    struct tgi_cuda_collective *c = collective_of(cuda);
    char devices[256];
    format_devices(cuda, t, devices, sizeof devices);
    tgi_error(&c->lost, TG_E_COLLECTIVE, "%s over %s failed: NCCL says: %s", what, devices, c->GetErrorString(answer));
    abort_all(c);
    if (err)
        *err = c->lost;
    return c->lost.status;
}

static void fill_team(struct team *t, uint32_t n, const uint32_t *lane_of)
{
    t->n = n;
    for (uint32_t i = 0; i < n; i++)
        t->devices[i] = tgi_lane_device(lane_of[i]);
}

int tgi_cuda_give_up(struct tgi_devices *ds, const struct tgi_op *op, uint32_t n_ranks, const uint32_t *lane_of,
                     uint32_t limit_ms, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    struct tgi_cuda_collective *c = collective_of(cuda);
    struct team team;
    char devices[256];
    fill_team(&team, n_ranks, lane_of);
    format_devices(cuda, &team, devices, sizeof devices);
    tgi_error(&c->lost, TG_E_COLLECTIVE, "%s over %s did not come to an end within %u ms, and was given up", op->name, devices,
              limit_ms);
    abort_all(c);
    return tgi_error(err, TG_E_TASK_TIMEOUT, "%s over %s did not come to an end within %u ms", op->name, devices, limit_ms);
}

static int find_team(struct tgi_cuda *cuda, uint32_t n, const uint32_t *lane_of, struct team **team_p, struct tg_error *err)
{
    struct tgi_cuda_collective *c = collective_of(cuda);
    struct team wanted = {0};
    int ordinals[TGI_MAX_DEVICES];
    fill_team(&wanted, n, lane_of);
    for (uint32_t i = 0; i < n; i++)
        ordinals[i] = (int)cuda->base.ordinal[wanted.devices[i]];
    for (uint32_t i = 0; i < c->n_teams; i++)
        if (c->teams[i].n == n && memcmp(c->teams[i].devices, wanted.devices, n * sizeof *wanted.devices) == 0) {
            *team_p = &c->teams[i];
            return 0;
        }
    if (c->n_teams == MAX_TEAMS)
        return tgi_error(err, TG_E_LIMIT, "more than %d sets of devices in collectives", MAX_TEAMS);
    int answer = c->CommInitAll(wanted.comms, (int)n, ordinals);
    if (answer)
        return lose(cuda, &wanted, "making a communicator", answer, err);
    c->teams[c->n_teams] = wanted;
    *team_p = &c->teams[c->n_teams++];
    return 0;
}

int tgi_cuda_collective_poll(struct tgi_cuda *cuda, struct tg_error *err)
{
    struct tgi_cuda_collective *c = collective_of(cuda);
    if (!c)
        return 0;
    for (uint32_t i = 0; i < c->n_teams; i++)
        for (uint32_t k = 0; k < c->teams[i].n; k++) {
            int error = 0, answer = c->CommGetAsyncError(c->teams[i].comms[k], &error);
            if (answer || error)
                return lose(cuda, &c->teams[i], "a collective", answer ? answer : error, err);
        }
    if (c->lost.status && err)
        *err = c->lost;
    return c->lost.status;
}

int tgi_cuda_poll(struct tgi_devices *ds, struct tg_error *err) { return tgi_cuda_collective_poll(tgi_cuda_of(ds), err); }

/* ---- Collectives --------------------------------------------------------------------------*/

static void *pointer(uint64_t address) { return (void *)(uintptr_t)address; }

/* NCCL exchanges between two places, and ours is in one: tiles are sent from copies of them. */
uint64_t tgi_cuda_collect_scratch(const struct tgi_op *op, uint64_t tile_bytes)
{
    return op->collective == TG_ALLTOALL ? tile_bytes : 0;
}

static int copy_tiles(struct tgi_cuda *cuda, uint64_t bytes, uint32_t n_ranks, const uint64_t *tiles, const uint64_t *scratch,
                      const uint32_t *lane_of, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t r = 0; rc == 0 && r < n_ranks; r++) {
        uint32_t node = tgi_lane_device(lane_of[r]) + 1;
        struct tgi_transfer t = {node, node, scratch[r], tiles[r], bytes};
        rc = cuda->base.ops->copy(&cuda->base, lane_of[r], &t, err);
    }
    return rc;
}

/* Chunk s of a tile comes from rank s, whose own chunk r goes there; the one it has for itself stays. */
static int exchange(struct tgi_cuda_collective *c, size_t chunk_bytes, uint32_t n_ranks, uint32_t r, uint64_t tile, uint64_t copy,
                    comm comm, CUstream stream)
{
    int answer = 0, byte = type_of(TG_U8, false);
    for (uint32_t s = 0; answer == 0 && s < n_ranks; s++) {
        if (s == r)
            continue;
        answer = c->Send(pointer(copy + s * chunk_bytes), chunk_bytes, byte, (int)s, comm, stream);
        if (answer == 0)
            answer = c->Recv(pointer(tile + s * chunk_bytes), chunk_bytes, byte, (int)s, comm, stream);
    }
    return answer;
}

/* What rank r enqueues. */
static int enqueue(struct tgi_cuda_collective *c, const struct tgi_op *op, enum tg_dtype dtype, uint64_t n_elems,
                   uint32_t n_ranks, uint32_t r, const uint64_t *tiles, const uint64_t *scratch, comm comm, CUstream stream)
{
    static const int ops[] = {[TG_SUM] = 0, [TG_PROD] = 1, [TG_MAX] = 2, [TG_MIN] = 3};
    size_t bytes = n_elems * tg_dtype_size(dtype), chunk = n_elems / n_ranks, chunk_bytes = bytes / n_ranks;
    int type = type_of(dtype, true), reduce = ops[op->reduce_op], byte = type_of(dtype, false);
    void *tile = pointer(tiles[r]), *own = pointer(tiles[r] + r * chunk_bytes);
    switch (op->collective) {
    case TG_ALLREDUCE:
        return c->AllReduce(tile, tile, n_elems, type, reduce, comm, stream);
    case TG_REDUCE_TO:
        return c->Reduce(tile, tile, n_elems, type, reduce, (int)op->root, comm, stream);
    case TG_REDUCESCATTER:
        return c->ReduceScatter(tile, own, chunk, type, reduce, comm, stream);
    case TG_BROADCAST:
        return c->Broadcast(tile, tile, bytes, byte, (int)op->root, comm, stream);
    case TG_ALLGATHER:
        return c->AllGather(own, tile, chunk_bytes, byte, comm, stream);
    case TG_ALLTOALL:
        return exchange(c, chunk_bytes, n_ranks, r, tiles[r], scratch[r], comm, stream);
    default: /* TG_SENDRECV */
        return r == 0 ? c->Send(tile, bytes, byte, 1, comm, stream) : r == 1 ? c->Recv(tile, bytes, byte, 0, comm, stream) : 0;
    }
}

int tgi_cuda_collective_prepare(struct tgi_cuda *cuda, uint32_t n_ranks, const uint32_t *lane_of, struct tg_error *err)
{
    struct team *team;
    int rc = tgi_cuda_collective_poll(cuda, err);
    return rc ? rc : find_team(cuda, n_ranks, lane_of, &team, err);
}

int tgi_cuda_collect(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint64_t n_elems, uint32_t n_ranks,
                     const uint64_t *tiles, const uint64_t *scratch, const uint32_t *lane_of, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    struct tgi_cuda_collective *c = collective_of(cuda);
    struct team *team;
    int rc = tgi_cuda_collective_poll(cuda, err);
    bool is_chunked = op->collective == TG_REDUCESCATTER || op->collective == TG_ALLGATHER || op->collective == TG_ALLTOALL;
    if (rc == 0 && is_chunked && n_elems % n_ranks)
        rc = tgi_error(err, TG_E_COLLECTIVE, "%s: tiles of %llu elements cannot be cut into %u chunks", op->name,
                       (unsigned long long)n_elems, n_ranks);
    if (rc == 0)
        rc = find_team(cuda, n_ranks, lane_of, &team, err);
    if (rc == 0 && op->collective == TG_ALLTOALL)
        rc = copy_tiles(cuda, n_elems * tg_dtype_size(dtype), n_ranks, tiles, scratch, lane_of, err);
    if (rc)
        return rc;
    int answer = c->GroupStart();
    for (uint32_t r = 0; answer == 0 && r < n_ranks; r++)
        answer = enqueue(c, op, dtype, n_elems, n_ranks, r, tiles, scratch, team->comms[r], tgi_cuda_stream(cuda, lane_of[r]));
    int ended = c->GroupEnd();
    return answer || ended ? lose(cuda, team, op->name, answer ? answer : ended, err) : 0;
}

void tgi_cuda_collective_close(struct tgi_cuda *cuda)
{
    struct tgi_cuda_collective *c = collective_of(cuda);
    for (uint32_t i = 0; i < c->n_teams; i++)
        for (uint32_t k = 0; k < c->teams[i].n; k++)
            if (tgi_devices_are_lost(&cuda->base) || c->CommDestroy(c->teams[i].comms[k]))
                c->CommAbort(c->teams[i].comms[k]);
    free(c);
    atomic_store_explicit(&cuda->collective, NULL, memory_order_relaxed);
}
