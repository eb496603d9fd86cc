/* What an operation does to memory: each rank gives a copy of what it sends, and takes a combination of what
 * all have given. */
#include <stdlib.h>

#include "graph/dtype.h"
#include "tests/standin/nccl_internal.h"

size_t nccl_type_size(ncclDataType_t type)
{
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
    return sizes[type];
}

/* ---- Arithmetic ---------------------------------------------------------------------------
 *
 * Integers wrap around, so sums and products are those of unsigned numbers. */

#define COMBINE(name, T, U)                                                  \
    static void name(ncclRedOp_t op, void *to_, const void *from_, size_t n) \
    {                                                                        \
        T *to = to_;                                                         \
        const T *from = from_;                                               \
        for (size_t i = 0; i < n; i++)                                       \
            switch (op) {                                                    \
            case ncclProd:                                                   \
                to[i] = (T)((U)to[i] * (U)from[i]);                          \
                break;                                                       \
            case ncclMax:                                                    \
                to[i] = from[i] > to[i] ? from[i] : to[i];                   \
                break;                                                       \
            case ncclMin:                                                    \
                to[i] = from[i] < to[i] ? from[i] : to[i];                   \
                break;                                                       \
            default:                                                         \
                to[i] = (T)((U)to[i] + (U)from[i]);                          \
                break;                                                       \
            }                                                                \
    }                                                                        \
    static void name##_divide(void *to_, size_t n, int by)                   \
    {                                                                        \
        T *to = to_;                                                         \
        for (size_t i = 0; i < n; i++)                                       \
            to[i] = (T)(to[i] / (T)by);                                      \
    }
COMBINE(i8, int8_t, uint32_t)
COMBINE(u8, uint8_t, uint32_t)
COMBINE(i32, int32_t, uint32_t)
COMBINE(u32, uint32_t, uint32_t)
COMBINE(i64, int64_t, uint64_t)
COMBINE(u64, uint64_t, uint64_t)
COMBINE(f32, float, float)
COMBINE(f64, double, double)

/* Two bytes a number: computed as floats, rounded after every step. */
#define COMBINE_SMALL(name, widen, narrow)                                   \
    static void name(ncclRedOp_t op, void *to_, const void *from_, size_t n) \
    {                                                                        \
        uint16_t *to = to_;                                                  \
        const uint16_t *from = from_;                                        \
        for (size_t i = 0; i < n; i++) {                                     \
            float a = widen(to[i]), b = widen(from[i]);                      \
            f32(op, &a, &b, 1);                                              \
            to[i] = narrow(a);                                               \
        }                                                                    \
    }                                                                        \
    static void name##_divide(void *to_, size_t n, int by)                   \
    {                                                                        \
        uint16_t *to = to_;                                                  \
        for (size_t i = 0; i < n; i++)                                       \
            to[i] = narrow(widen(to[i]) / (float)by);                        \
    }
COMBINE_SMALL(f16, tgi_f16_to_float, tgi_f16_from_float)
COMBINE_SMALL(bf16, tgi_bf16_to_float, tgi_bf16_from_float)

static const struct {
    void (*combine)(ncclRedOp_t op, void *to, const void *from, size_t n);
    void (*divide)(void *to, size_t n, int by);
} arithmetic[] = {
    [ncclInt8] = {i8, i8_divide},      [ncclUint8] = {u8, u8_divide},
    [ncclInt32] = {i32, i32_divide},   [ncclUint32] = {u32, u32_divide},
    [ncclInt64] = {i64, i64_divide},   [ncclUint64] = {u64, u64_divide},
    [ncclFloat16] = {f16, f16_divide}, [ncclFloat32] = {f32, f32_divide},
    [ncclFloat64] = {f64, f64_divide}, [ncclBfloat16] = {bf16, bf16_divide},
};

/* ---- Sizes --------------------------------------------------------------------------------*/

size_t work_sent(const struct work *w, int rank)
{
    size_t bytes = w->count * nccl_type_size(w->type);
    switch (w->kind) {
    case BROADCAST:
        return rank == w->root ? bytes : 0;
    case REDUCE_SCATTER:
        return bytes * (size_t)w->n_ranks;
    case SEND:
        return rank == 0 ? bytes : 0;
    default:
        return bytes;
    }
}

size_t work_received(const struct work *w, int rank)
{
    size_t bytes = w->count * nccl_type_size(w->type);
    switch (w->kind) {
    case REDUCE:
        return rank == w->root ? bytes : 0;
    case ALL_GATHER:
        return bytes * (size_t)w->n_ranks;
    case SEND:
        return rank == 1 ? bytes : 0;
    default:
        return bytes;
    }
}

/* ---- Kernels ------------------------------------------------------------------------------*/

static bool is_aborted(const struct work *w)
{
    for (int r = 0; r < w->n_ranks; r++)
        if (atomic_load_explicit(&w->part[r].call.comm->is_aborted, memory_order_relaxed))
            return true;
    return false;
}

static void ran(struct part *p)
{
    if (!p->work->is_captured)
        atomic_fetch_sub_explicit(&p->call.comm->n_pending, 1, memory_order_release);
}

static int give(void **args, const void *launch)
{
    struct part *p = *(struct part **)args[0];
    size_t n = work_sent(p->work, p->rank);
    int rc = 0;
    if (n && !is_aborted(p->work)) {
        const void *from = nccl.standin.standin_at(launch, p->call.send, n, STANDIN_IN);
        p->given = from ? malloc(n) : NULL;
        if (p->given)
            memcpy(p->given, from, n);
        else
            rc = from ? CUDA_ERROR_OUT_OF_MEMORY : 0; /* otherwise the access has faulted */
    }
    ran(p);
    return rc;
}

static void combine(struct work *w, int rank, unsigned char *to)
{
    size_t bytes = w->count * nccl_type_size(w->type);
    size_t from = w->kind == REDUCE_SCATTER ? (size_t)rank * bytes : 0;
    memcpy(to, w->part[0].given + from, bytes);
    for (int r = 1; r < w->n_ranks; r++)
        arithmetic[w->type].combine(w->op, to, w->part[r].given + from, w->count);
    if (w->op == ncclAvg)
        arithmetic[w->type].divide(to, w->count, w->n_ranks);
}

static bool is_given(const struct work *w)
{
    for (int r = 0; r < w->n_ranks; r++)
        if (work_sent(w, r) && !w->part[r].given)
            return false;
    return true;
}

static int take(void **args, const void *launch)
{
    struct part *p = *(struct part **)args[0];
    struct work *w = p->work;
    size_t bytes = w->count * nccl_type_size(w->type);
    int rc = 0;
    unsigned char *to = NULL;
    if (!is_aborted(w))
        to = nccl.standin.standin_at(launch, p->call.recv, work_received(w, p->rank), STANDIN_OUT);
    if (to && !is_given(w))
        rc = CUDA_ERROR_LAUNCH_FAILED;
    else if (to && w->kind == SEND)
        memcpy(to, w->part[0].given, bytes);
    else if (to && w->kind == BROADCAST)
        memcpy(to, w->part[w->root].given, bytes);
    else if (to && w->kind == ALL_GATHER)
        for (int r = 0; r < w->n_ranks; r++)
            memcpy(to + (size_t)r * bytes, w->part[r].given, bytes);
    else if (to)
        combine(w, p->rank, to);
    ran(p);
    if (--w->n_left == 0) {
        for (int r = 0; r < w->n_ranks; r++) {
            free(w->part[r].given);
            w->part[r].given = NULL;
        }
        w->n_left = w->n_takes;
        /* release: pairs with the acquire of who frees it. */
        if (!w->is_captured)
            atomic_store_explicit(&w->is_done, true, memory_order_release);
    }
    return rc;
}

bool nccl_register_kernels(void)
{
    static const struct standin_param part[] = {{8, STANDIN_VALUE}};
    const struct standin_kernel kernels[] = {{"standin_nccl_give", give, 1, part, NULL, NULL},
                                             {"standin_nccl_take", take, 1, part, NULL, NULL}};
    return !nccl.standin.standin_register_kernel(&kernels[0]) &&
           !nccl.standin.standin_register_kernel(&kernels[1]);
}
