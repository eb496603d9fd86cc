/* See blas.h.
 *
 * A row-major matrix of r rows and c columns is, to the library, a column-major one of c rows and r columns: the
 * transpose.  So c = a b becomes c' = b' a', a lower triangle becomes an upper one, and a side of a triangular solve
 * becomes the other side. */
#include "gpu/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

/* ---- The libraries' interface -------------------------------------------------------------*/

enum { OP_N = 0, OP_T = 1, FILL_LOWER = 0, FILL_UPPER = 1, NON_UNIT = 0, UNIT = 1, LEFT = 0, RIGHT = 1 };
typedef struct cublas_context *cublas;
typedef struct cusolver_context *cusolver;

#define GEMM_PARAMS(T) \
    (cublas h, int op_a, int op_b, int m, int n, int k, const T *alpha, const T *a, int lda, const T *b, int ldb, \
     const T *beta, T *c, int ldc)
#define SYRK_PARAMS(T) \
    (cublas h, int uplo, int op, int n, int k, const T *alpha, const T *a, int lda, const T *beta, T *c, int ldc)
#define TRSM_PARAMS(T) \
    (cublas h, int side, int uplo, int op, int diag, int m, int n, const T *alpha, const T *a, int lda, T *b, int ldb)
#define POTRF_SIZE_PARAMS(T) (cusolver h, int uplo, int n, T *a, int lda, int *work_elems)
#define POTRF_PARAMS(T)      (cusolver h, int uplo, int n, T *a, int lda, T *work, int work_elems, int *info)

#define CUBLAS_CALLS(X) \
    X(Create, cublasCreate_v2, (cublas * h)) \
    X(Destroy, cublasDestroy_v2, (cublas h)) \
    X(SetStream, cublasSetStream_v2, (cublas h, CUstream stream)) \
    X(SetWorkspace, cublasSetWorkspace_v2, (cublas h, void *work, size_t bytes)) \
    X(Dgemm, cublasDgemm_v2, GEMM_PARAMS(double)) \
    X(Sgemm, cublasSgemm_v2, GEMM_PARAMS(float)) \
    X(Dsyrk, cublasDsyrk_v2, SYRK_PARAMS(double)) \
    X(Ssyrk, cublasSsyrk_v2, SYRK_PARAMS(float)) \
    X(Dtrsm, cublasDtrsm_v2, TRSM_PARAMS(double)) \
    X(Strsm, cublasStrsm_v2, TRSM_PARAMS(float))
#define CUSOLVER_CALLS(X) \
    X(Create, cusolverDnCreate, (cusolver * h)) \
    X(Destroy, cusolverDnDestroy, (cusolver h)) \
    X(SetStream, cusolverDnSetStream, (cusolver h, CUstream stream)) \
    X(DpotrfSize, cusolverDnDpotrf_bufferSize, POTRF_SIZE_PARAMS(double)) \
    X(SpotrfSize, cusolverDnSpotrf_bufferSize, POTRF_SIZE_PARAMS(float)) \
    X(Dpotrf, cusolverDnDpotrf, POTRF_PARAMS(double)) \
    X(Spotrf, cusolverDnSpotrf, POTRF_PARAMS(float))

#define POINTER_X(name, symbol, params) int(*name) params;
struct cublas_api {
    void *handle;
    CUBLAS_CALLS(POINTER_X)
};
struct cusolver_api {
    void *handle;
    CUSOLVER_CALLS(POINTER_X)
};
#undef POINTER_X

/* ---- Calls --------------------------------------------------------------------------------*/

enum what { GEMM_NN, GEMM_NT, GEMM_TN, SYRK_LOWER, TRSM_RLT, TRSM_RUN, TRSM_LLN, POTRF_LOWER, N_WHAT };
static const char *const names[N_WHAT] = {"gemm_nn", "gemm_nt", "gemm_tn", "syrk_lower", "trsm_rlt", "trsm_run", "trsm_lln",
                                          "potrf_lower"};
static const char *const texts[2 * N_WHAT] = {
    "cublas sgemm", "cublas dgemm", "cublas sgemm", "cublas dgemm", "cublas sgemm", "cublas dgemm",
    "cublas ssyrk", "cublas dsyrk", "cublas strsm", "cublas dtrsm", "cublas strsm", "cublas dtrsm",
    "cublas strsm", "cublas dtrsm", "cusolver spotrf", "cusolver dpotrf"};

/* A call is 2 * what + (is f64). */
static inline enum what what_of(uint32_t call) { return (enum what)(call / 2); }
static inline bool is_f64(uint32_t call) { return call % 2; }

enum { BLAS_WORK_BYTES = 32 << 20, N_LANES = TGI_COMPUTE_LANES };

struct lane {
    cublas blas;
    CUdeviceptr blas_work;
    cusolver solver;
    CUdeviceptr solver_work, info;
    size_t solver_bytes;
    CUdeviceptr old_work[32]; /* too small by now, but perhaps in use */
    uint32_t n_old;
};

struct tgi_cuda_blas {
    struct cublas_api blas;
    struct cusolver_api solver;
    struct lane lanes[TGI_MAX_DEVICES][N_LANES];
    bool has_blas, has_solver;         /* handles are there */
    bool has_no_blas, has_no_solver;   /* looked for and not found */
};

uint32_t tgi_cuda_blas_find(const char *builtin, enum tg_dtype type)
{
    if (type != TG_F32 && type != TG_F64)
        return TG_NONE;
    for (uint32_t i = 0; i < N_WHAT; i++)
        if (strcmp(builtin, names[i]) == 0)
            return 2 * i + (type == TG_F64);
    return TG_NONE;
}

const char *tgi_cuda_blas_name(uint32_t call) { return texts[call]; }
bool tgi_cuda_blas_needs_report(uint32_t call) { return what_of(call) == POTRF_LOWER; }

/* Below this the libraries' launches cost more than their better kernels save. */
bool tgi_cuda_blas_is_better(uint32_t call, void *const *args)
{
    (void)call;
    return *(const int64_t *)args[0] >= 128;
}

/* ---- Loading ------------------------------------------------------------------------------*/

static void *open_one_of(const char *variable, const char *const *candidates, struct tg_error *err)
{
    const char *wanted = getenv(variable);
    void *handle = NULL;
    if (wanted && *wanted)
        handle = dlopen(wanted, RTLD_NOW | RTLD_LOCAL);
    for (; !handle && !(wanted && *wanted) && *candidates; candidates++)
        handle = dlopen(*candidates, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *why = dlerror();
        tgi_error(err, TG_E_NO_LIBRARY, "%s", why ? why : variable);
    }
    return handle;
}

static int load_cublas(struct cublas_api *api, struct tg_error *err)
{
    static const char *const candidates[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL};
    void *handle = open_one_of("TGRAPH_CUBLAS", candidates, err), *address;
    bool ok = true;
    if (!handle)
        return TG_E_NO_LIBRARY;
#define FIND_X(name, symbol, params) \
    address = dlsym(handle, #symbol); \
    memcpy(&api->name, &address, sizeof address); \
    ok = ok && address;
    CUBLAS_CALLS(FIND_X)
    if (!ok) {
        dlclose(handle);
        return tgi_error(err, TG_E_NO_LIBRARY, "cuBLAS lacks a call that version 11 and later have");
    }
    api->handle = handle;
    return 0;
}

static int load_cusolver(struct cusolver_api *api, struct tg_error *err)
{
    static const char *const candidates[] = {"libcusolver.so.12", "libcusolver.so.11", "libcusolver.so", NULL};
    void *handle = open_one_of("TGRAPH_CUSOLVER", candidates, err), *address;
    bool ok = true;
    if (!handle)
        return TG_E_NO_LIBRARY;
    CUSOLVER_CALLS(FIND_X)
#undef FIND_X
    if (!ok) {
        dlclose(handle);
        return tgi_error(err, TG_E_NO_LIBRARY, "cuSOLVER lacks a call that version 11 and later have");
    }
    api->handle = handle;
    return 0;
}

/* Both libraries have the same function for it.  They stay loaded: not all that C++ libraries set up is taken down by
 * dlclose(). */
static int tell_version(void *handle, const char *symbol, char *text, size_t size, struct tg_error *err)
{
    int (*get)(int property, int *value), v[3] = {0, 0, 0};
    void *address = dlsym(handle, symbol);
    memcpy(&get, &address, sizeof get);
    for (int i = 0; address && i < 3; i++)
        if (get(i, &v[i]))
            address = NULL;
    snprintf(text, size, "%d.%d.%d", v[0], v[1], v[2]);
    return address ? 0 : tgi_error(err, TG_E_NO_LIBRARY, "%s does not answer", symbol);
}

int tgi_cublas_version(char *text, size_t size, struct tg_error *err)
{
    struct cublas_api api = {0};
    int rc = load_cublas(&api, err);
    return rc ? rc : tell_version(api.handle, "cublasGetProperty", text, size, err);
}

int tgi_cusolver_version(char *text, size_t size, struct tg_error *err)
{
    struct cusolver_api api = {0};
    int rc = load_cusolver(&api, err);
    return rc ? rc : tell_version(api.handle, "cusolverGetProperty", text, size, err);
}

static int check(int rc, const char *call, struct tg_error *err)
{
    return rc ? tgi_error(err, TG_E_TASK_FAILED, "%s answered %d", call, rc) : 0;
}

static int make_blas_handles(struct tgi_cuda *cuda, struct tgi_cuda_blas *b, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++)
        for (uint32_t k = 0; rc == 0 && k < N_LANES; k++) {
            struct lane *l = &b->lanes[d][k];
            rc = tgi_cuda_enter(cuda, d, err);
            if (rc == 0)
                rc = check(b->blas.Create(&l->blas), "cublasCreate", err);
            if (rc == 0)
                rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&l->blas_work, BLAS_WORK_BYTES), "cuBLAS's workspace");
            if (rc == 0)
                rc = check(b->blas.SetStream(l->blas, cuda->device[d].stream[k]), "cublasSetStream", err);
            if (rc == 0)
                rc = check(b->blas.SetWorkspace(l->blas, (void *)(uintptr_t)l->blas_work, BLAS_WORK_BYTES), "cublasSetWorkspace", err);
        }
    return rc;
}

static int make_solver_handles(struct tgi_cuda *cuda, struct tgi_cuda_blas *b, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++)
        for (uint32_t k = 0; rc == 0 && k < N_LANES; k++) {
            struct lane *l = &b->lanes[d][k];
            rc = tgi_cuda_enter(cuda, d, err);
            if (rc == 0)
                rc = check(b->solver.Create(&l->solver), "cusolverDnCreate", err);
            if (rc == 0)
                rc = check(b->solver.SetStream(l->solver, cuda->device[d].stream[k]), "cusolverDnSetStream", err);
            if (rc == 0)
                rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&l->info, sizeof(int)), "cuSOLVER's status");
        }
    return rc;
}

int tgi_cuda_blas_load(struct tgi_cuda *cuda, uint32_t call, struct tg_error *err)
{
    if (!cuda->blas && !(cuda->blas = calloc(1, sizeof *cuda->blas)))
        return tgi_error_memory(err, "loading cuBLAS");
    struct tgi_cuda_blas *b = cuda->blas;
    bool is_solver = what_of(call) == POTRF_LOWER;
    if (is_solver ? b->has_solver : b->has_blas)
        return 0;
    if (is_solver ? b->has_no_solver : b->has_no_blas)
        return tgi_error(err, TG_E_NO_LIBRARY, "%s is not installed", is_solver ? "cuSOLVER" : "cuBLAS");
    int rc = is_solver ? load_cusolver(&b->solver, err) : load_cublas(&b->blas, err);
    if (rc == 0)
        rc = is_solver ? make_solver_handles(cuda, b, err) : make_blas_handles(cuda, b, err);
    *(is_solver ? &b->has_solver : &b->has_blas) = rc == 0;
    *(is_solver ? &b->has_no_solver : &b->has_no_blas) = rc != 0;
    return rc;
}

void tgi_cuda_blas_close(struct tgi_cuda *cuda)
{
    struct tgi_cuda_blas *b = cuda->blas;
    if (!b)
        return;
    for (uint32_t d = 0; d < cuda->base.n_devices; d++)
        for (uint32_t k = 0; k < N_LANES; k++) {
            struct lane *l = &b->lanes[d][k];
            if (tgi_cuda_enter(cuda, d, NULL))
                continue; /* lost: everything goes with the process */
            if (l->blas)
                b->blas.Destroy(l->blas);
            if (l->solver)
                b->solver.Destroy(l->solver);
            CUdeviceptr memory[] = {l->blas_work, l->solver_work, l->info};
            for (uint32_t i = 0; i < 3; i++)
                if (memory[i])
                    cuda->api->cuMemFree(memory[i]);
            for (uint32_t i = 0; i < l->n_old; i++)
                cuda->api->cuMemFree(l->old_work[i]);
        }
    /* The libraries stay in the process: they register things that outlive a handle. */
    free(b);
    cuda->blas = NULL;
}

/* ---- Calling ------------------------------------------------------------------------------*/

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

/* A workspace that is too small may be in use by what was enqueued before: it is kept until the end. */
static int reserve_work(struct tgi_cuda *cuda, struct lane *l, size_t bytes, struct tg_error *err)
{
    CUdeviceptr work;
    if (bytes <= l->solver_bytes)
        return 0;
    if (l->n_old == sizeof l->old_work / sizeof *l->old_work)
        return tgi_error(err, TG_E_LIMIT, "cuSOLVER's workspace has grown too often");
    bytes = bytes > 2 * l->solver_bytes ? bytes : 2 * l->solver_bytes;
    int rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&work, bytes), "cuSOLVER's workspace of %zu bytes", bytes);
    if (rc)
        return rc;
    if (l->solver_work)
        l->old_work[l->n_old++] = l->solver_work;
    l->solver_work = work;
    l->solver_bytes = bytes;
    return 0;
}

static int potrf(struct tgi_cuda *cuda, struct lane *l, uint32_t lane, bool is_double, void **args, CUfunction report,
                 struct tg_error *err)
{
    const struct cusolver_api *api = &cuda->blas->solver;
    int n = INT(0), work_elems = 0;
    int answer = is_double ? api->DpotrfSize(l->solver, FILL_UPPER, n, TILE(double, 1), n, &work_elems)
                           : api->SpotrfSize(l->solver, FILL_UPPER, n, TILE(float, 1), n, &work_elems);
    int rc = check(answer, "cusolverDnpotrf_bufferSize", err);
    if (rc == 0)
        rc = reserve_work(cuda, l, (size_t)work_elems * (is_double ? 8 : 4) + 256, err);
    if (rc)
        return rc;
    int *info = (int *)(uintptr_t)l->info;
    answer = is_double ? api->Dpotrf(l->solver, FILL_UPPER, n, TILE(double, 1), n, (double *)(uintptr_t)l->solver_work, work_elems, info)
                       : api->Spotrf(l->solver, FILL_UPPER, n, TILE(float, 1), n, (float *)(uintptr_t)l->solver_work, work_elems, info);
    rc = check(answer, texts[2 * POTRF_LOWER + is_double], err);
    if (rc)
        return rc;
    void *report_args[] = {&l->info, args[1], args[0]};
    return TGI_CUDA_DO(cuda, err, cuLaunchKernel, (report, 1, 1, 1, 1, 1, 1, 0, tgi_cuda_stream(cuda, lane), report_args, NULL),
                       "reporting a factorisation's outcome");
}

int tgi_cuda_blas_call(struct tgi_cuda *cuda, uint32_t lane, uint32_t call, void **args, CUfunction report,
                       struct tg_error *err)
{
    struct tgi_cuda_blas *b = cuda->blas;
    struct lane *l = &b->lanes[tgi_lane_device(lane)][lane % TGI_LANES_EACH];
    if (what_of(call) == POTRF_LOWER)
        return potrf(cuda, l, lane, is_f64(call), args, report, err);
    int answer = is_f64(call) ? dense_f64(&b->blas, l->blas, what_of(call), args) : dense_f32(&b->blas, l->blas, what_of(call), args);
    return check(answer, texts[call], err);
}
