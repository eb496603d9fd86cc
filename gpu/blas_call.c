/* See blas.h: the calls.
 *
 * A row-major matrix of r rows and c columns is, to the library, a column-major one of c rows and r columns: the
 * transpose.  So c = a b becomes c' = b' a', a lower triangle becomes an upper one, and a side of a triangular solve
 * becomes the other side.
 *
 * Two things the libraries do slowly are put together from what they do fast.  cuSOLVER factorises an upper triangle
 * much slower than a lower one, so the tile is transposed before and after.  cuBLAS solves with a large triangle at a
 * fraction of the speed of its products, so the triangles of up to 512 on the diagonal are inverted, and everything else
 * is products.  On an H100 (bench/cuda_tiles, f64, n = 2,048): 1.3 to 2.9 and 10 to 21 TFLOP/s. */
#include "gpu/blas.h"

#include <stdlib.h>

#include "graph/error.h"
#include "gpu/blas_api.h"

#define INT(i)     (int)*(const int64_t *)args[i]
#define NUM(T, i)  *(const T *)args[i]
#define TILE(T, i) (*(T **)args[i])

/* The same for both types. */
#define DENSE_X(name, T, GEMM, SYRK, TRSM) \
    static int name(const struct cublas_api *api, cublas h, enum what what, void **args) \
    { \
        const T one = 1; \
        int n = INT(0); \
        switch (what) { \
        case GEMM_NN: \
            return api->GEMM(h, OP_N, OP_N, n, INT(4), INT(5), &NUM(T, 6), TILE(T, 2), n, TILE(T, 1), INT(5), &NUM(T, 7), \
                             TILE(T, 3), n); \
        case GEMM_NT: \
            return api->GEMM(h, OP_T, OP_N, n, INT(4), INT(5), &NUM(T, 6), TILE(T, 2), INT(5), TILE(T, 1), INT(5), \
                             &NUM(T, 7), TILE(T, 3), n); \
        case GEMM_TN: \
            return api->GEMM(h, OP_N, OP_T, n, INT(4), INT(5), &NUM(T, 6), TILE(T, 2), n, TILE(T, 1), INT(4), &NUM(T, 7), \
                             TILE(T, 3), n); \
        case SYRK_LOWER: \
            return api->SYRK(h, FILL_UPPER, OP_T, n, INT(3), &NUM(T, 4), TILE(T, 1), INT(3), &NUM(T, 5), TILE(T, 2), n); \
        case TRSM_RLT: \
            return api->TRSM(h, LEFT, FILL_UPPER, OP_T, NON_UNIT, n, INT(3), &one, TILE(T, 1), n, TILE(T, 2), n); \
        case TRSM_RUN: \
            return api->TRSM(h, LEFT, FILL_LOWER, OP_N, NON_UNIT, n, INT(3), &one, TILE(T, 1), n, TILE(T, 2), n); \
        default: /* TRSM_LLN */ \
            return api->TRSM(h, RIGHT, FILL_UPPER, OP_N, INT(4) ? UNIT : NON_UNIT, INT(3), n, &one, TILE(T, 1), n, \
                             TILE(T, 2), INT(3)); \
        } \
    }
DENSE_X(dense_f64, double, Dgemm, Dsyrk, Dtrsm)
DENSE_X(dense_f32, float, Sgemm, Ssyrk, Strsm)

/* What makes a workspace too small may be in use by what was enqueued before: it is kept until the end. */
static int reserve_work(struct tgi_cuda *cuda, struct tgi_blas_lane *l, size_t bytes, struct tg_error *err)
{
    CUdeviceptr work;
    if (bytes <= l->work_bytes)
        return 0;
    if (l->n_old == sizeof l->old_work / sizeof *l->old_work)
        return tgi_error(err, TG_E_LIMIT, "the workspace of a lane has grown too often");
    bytes = bytes > 2 * l->work_bytes ? bytes : 2 * l->work_bytes;
    int rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&work, bytes), "a workspace of %zu bytes", bytes);
    if (rc)
        return rc;
    if (l->work)
        l->old_work[l->n_old++] = l->work;
    l->work = work;
    l->work_bytes = bytes;
    return 0;
}

static int check(int rc, uint32_t call, struct tg_error *err)
{
    return rc ? tgi_error(err, TG_E_TASK_FAILED, "%s answered %d", tgi_cuda_blas_name(call), rc) : 0;
}

static size_t elem_bytes(uint32_t call) { return is_f64(call) ? sizeof(double) : sizeof(float); }

/* ---- Triangular solves --------------------------------------------------------------------*/

/* The largest block that divides n and that is worth inverting; 0: none is. */
static int inverse_order(int64_t n, int64_t m)
{
    return n < 512 || m < 256 ? 0 : n % 512 == 0 ? 512 : n % 256 == 0 ? 256 : 0;
}

struct solve {
    struct tgi_cuda *cuda;
    struct tgi_blas_lane *lane;
    uint32_t call;
    int n, m, order;
    CUdeviceptr l, b, inverse, rest; /* rest: order x m, a copy of the right-hand sides of one block */
    size_t size;                     /* of an element */
};

static int product(const struct solve *s, int op_a, int rows, int depth, double alpha, CUdeviceptr a, int lda, CUdeviceptr b,
                   int ldb, double beta, CUdeviceptr c, int ldc)
{
    const struct cublas_api *api = &s->cuda->blas->blas;
    float alpha_f = (float)alpha, beta_f = (float)beta;
    if (is_f64(s->call))
        return api->Dgemm(s->lane->blas, op_a, OP_N, rows, s->m, depth, &alpha, (const double *)a, lda, (const double *)b, ldb,
                          &beta, (double *)c, ldc);
    return api->Sgemm(s->lane->blas, op_a, OP_N, rows, s->m, depth, &alpha_f, (const float *)a, lda, (const float *)b, ldb,
                      &beta_f, (float *)c, ldc);
}

/* Squares of `side` all along the diagonal at once. */
static int products(const struct solve *s, int side, double alpha, CUdeviceptr a, int lda, long long stride_a, CUdeviceptr b,
                    int ldb, long long stride_b, CUdeviceptr c, int ldc, long long stride_c)
{
    const struct cublas_api *api = &s->cuda->blas->blas;
    double zero = 0;
    float alpha_f = (float)alpha, zero_f = 0;
    int count = s->n / (2 * side);
    if (is_f64(s->call))
        return api->DgemmBatched(s->lane->blas, OP_N, OP_N, side, side, side, &alpha, (const double *)a, lda, stride_a,
                                 (const double *)b, ldb, stride_b, &zero, (double *)c, ldc, stride_c, count);
    return api->SgemmBatched(s->lane->blas, OP_N, OP_N, side, side, side, &alpha_f, (const float *)a, lda, stride_a,
                             (const float *)b, ldb, stride_b, &zero_f, (float *)c, ldc, stride_c, count);
}

/* From squares of 64 by doubling: inverse21 = -inverse22 l21 inverse11.  The layout is that of kernels/invert.cu. */
static int invert(const struct solve *s, uint32_t lane, CUfunction kernel, struct tg_error *err)
{
    int64_t n = s->n, order = s->order;
    void *args[] = {&n, &order, (void *)&s->l, (void *)&s->inverse};
    int rc = TGI_CUDA_DO(s->cuda, err, cuLaunchKernel,
                         (kernel, (unsigned)(n / 64), 1, 1, 256, 1, 1, 0, tgi_cuda_stream(s->cuda, lane), args, NULL),
                         "inverting triangles");
    for (int side = 64; rc == 0 && side < s->order; side *= 2) {
        long long stride = 2 * side * (order + 1), stride_l = 2 * side * (n + 1);
        CUdeviceptr l21 = s->l + (size_t)(side * n) * s->size, i21 = s->inverse + (size_t)(side * order) * s->size,
                    i22 = s->inverse + (size_t)(side * (order + 1)) * s->size;
        /* Row-major l21 inverse11 is, to the library, inverse11 l21. */
        rc = check(products(s, side, 1, s->inverse, s->order, stride, l21, s->n, stride_l, s->rest, side,
                            (long long)side * side), s->call, err);
        if (rc == 0)
            rc = check(products(s, side, -1, s->rest, side, (long long)side * side, i22, s->order, stride, i21, s->order,
                                stride), s->call, err);
    }
    return rc;
}

static int copy_rest(const struct solve *s, uint32_t lane, CUdeviceptr block, struct tg_error *err)
{
    CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = block, .srcPitch = (size_t)s->n * s->size,
                          .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = s->rest, .dstPitch = (size_t)s->order * s->size,
                          .WidthInBytes = (size_t)s->order * s->size, .Height = (size_t)s->m};
    return TGI_CUDA_DO(s->cuda, err, cuMemcpy2DAsync, (&copy, tgi_cuda_stream(s->cuda, lane)), "copying right-hand sides");
}

/* X l^T = b, blocks of columns of X from the left: each is its rest times the inverse, and leaves the rest of those
 * right of it. */
static int solve(const struct solve *s, uint32_t lane, struct tg_error *err)
{
    int rc = 0;
    for (int64_t j = 0; rc == 0 && j < s->n; j += s->order) {
        CUdeviceptr x = s->b + (size_t)j * s->size, inverse = s->inverse + (size_t)(j * (s->order + 1)) * s->size;
        int below = s->n - (int)j - s->order;
        rc = copy_rest(s, lane, x, err);
        if (rc == 0)
            rc = check(product(s, OP_T, s->order, s->order, 1, inverse, s->order, s->rest, s->order, 0, x, s->n), s->call, err);
        if (rc == 0 && below > 0)
            rc = check(product(s, OP_T, below, s->order, -1, s->l + (size_t)((j + s->order) * s->n + j) * s->size, s->n, x, s->n,
                               1, x + (size_t)s->order * s->size, s->n), s->call, err);
    }
    return rc;
}

/* By products; TG_E_NO_MEMORY: there is no room for the inverses. */
static int solve_by_products(struct tgi_cuda *cuda, struct tgi_blas_lane *l, uint32_t lane, uint32_t call, int order,
                             void **args, CUfunction kernel, struct tg_error *err)
{
    struct solve s = {cuda, l, call, INT(0), INT(3), order, *(CUdeviceptr *)args[1], *(CUdeviceptr *)args[2], 0, 0,
                      elem_bytes(call)};
    size_t inverse_elems = ((size_t)s.n * (size_t)(order + 1) + 31) / 32 * 32;
    size_t most = (size_t)order * (size_t)(s.m > s.n / 4 ? s.m : s.n / 4); /* also holds products of half the order */
    int rc = reserve_work(cuda, l, (inverse_elems + most) * s.size, err);
    s.inverse = l->work;
    s.rest = l->work + inverse_elems * s.size;
    if (rc == 0)
        rc = invert(&s, lane, kernel, err);
    return rc ? rc : solve(&s, lane, err);
}

/* ---- Factorisations -----------------------------------------------------------------------*/

static int transpose(struct tgi_cuda *cuda, uint32_t lane, CUfunction kernel, int64_t n, CUdeviceptr from, CUdeviceptr to,
                     struct tg_error *err)
{
    void *args[] = {&n, &n, &from, &to};
    int64_t squares = (n + 31) / 32 * ((n + 31) / 32);
    return TGI_CUDA_DO(cuda, err, cuLaunchKernel,
                       (kernel, (unsigned)(squares < 8192 ? squares : 8192), 1, 1, 256, 1, 1, 0, tgi_cuda_stream(cuda, lane), args, NULL),
                       "transposing a tile");
}

static int potrf(struct tgi_cuda *cuda, struct tgi_blas_lane *l, uint32_t lane, uint32_t call, void **args,
                 const struct tgi_cuda_helpers *helpers, struct tg_error *err)
{
    const struct cusolver_api *api = &cuda->blas->solver;
    CUdeviceptr a = *(CUdeviceptr *)args[1];
    int n = INT(0), work_elems = 0;
    int answer = is_f64(call) ? api->DpotrfSize(l->solver, FILL_LOWER, n, (double *)a, n, &work_elems)
                              : api->SpotrfSize(l->solver, FILL_LOWER, n, (float *)a, n, &work_elems);
    size_t tile_bytes = ((size_t)n * (size_t)n * elem_bytes(call) + 255) / 256 * 256;
    int rc = check(answer, call, err);
    if (rc == 0)
        rc = reserve_work(cuda, l, tile_bytes + (size_t)work_elems * elem_bytes(call) + 256, err);
    if (rc == 0)
        rc = transpose(cuda, lane, helpers->transpose, n, a, l->work, err);
    if (rc)
        return rc;
    int *info = (int *)(uintptr_t)l->info;
    CUdeviceptr t = l->work, work = l->work + tile_bytes;
    answer = is_f64(call) ? api->Dpotrf(l->solver, FILL_LOWER, n, (double *)t, n, (double *)work, work_elems, info)
                          : api->Spotrf(l->solver, FILL_LOWER, n, (float *)t, n, (float *)work, work_elems, info);
    rc = check(answer, call, err);
    if (rc == 0)
        rc = transpose(cuda, lane, helpers->transpose, n, t, a, err);
    if (rc)
        return rc;
    void *report_args[] = {&l->info, args[1], args[0]};
    return TGI_CUDA_DO(cuda, err, cuLaunchKernel,
                       (helpers->report, 1, 1, 1, 1, 1, 1, 0, tgi_cuda_stream(cuda, lane), report_args, NULL),
                       "reporting a factorisation's outcome");
}

/* ---- All ----------------------------------------------------------------------------------*/

int tgi_cuda_blas_call(struct tgi_cuda *cuda, uint32_t lane, uint32_t call, void **args,
                       const struct tgi_cuda_helpers *helpers, struct tg_error *err)
{
    struct tgi_cuda_blas *b = cuda->blas;
    struct tgi_blas_lane *l = &b->lanes[tgi_lane_device(lane)][lane % TGI_LANES_EACH];
    if (what_of(call) == POTRF_LOWER)
        return potrf(cuda, l, lane, call, args, helpers, err);
    if (what_of(call) == TRSM_RLT) {
        int order = inverse_order(*(const int64_t *)args[0], *(const int64_t *)args[3]);
        int rc = order ? solve_by_products(cuda, l, lane, call, order, args, helpers->invert, err) : TG_E_NO_MEMORY;
        if (rc != TG_E_NO_MEMORY)
            return rc;
        /* The library's own needs no room. */
    }
    int answer = is_f64(call) ? dense_f64(&b->blas, l->blas, what_of(call), args) : dense_f32(&b->blas, l->blas, what_of(call), args);
    return check(answer, call, err);
}
