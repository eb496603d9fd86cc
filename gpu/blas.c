/* See blas.h: loading, handles and workspaces. */
#include "gpu/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "gpu/blas_api.h"

/* ---- Calls --------------------------------------------------------------------------------*/

static const char *const names[N_WHAT] = {"gemm_nn", "gemm_nt", "gemm_tn", "syrk_lower", "trsm_rlt", "trsm_run", "trsm_lln",
                                          "potrf_lower"};
static const char *const texts[2 * N_WHAT] = {
    "cublas sgemm", "cublas dgemm", "cublas sgemm", "cublas dgemm", "cublas sgemm", "cublas dgemm",
    "cublas ssyrk", "cublas dsyrk", "cublas strsm", "cublas dtrsm", "cublas strsm", "cublas dtrsm",
    "cublas strsm", "cublas dtrsm", "cusolver spotrf", "cusolver dpotrf"};

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

struct tgi_cuda_helper_names tgi_cuda_blas_helpers(uint32_t call)
{
    struct tgi_cuda_helper_names none = {NULL, NULL, NULL};
    if (what_of(call) == POTRF_LOWER)
        return (struct tgi_cuda_helper_names){"tgk_report_info", is_f64(call) ? "tgk_transpose_f64" : "tgk_transpose_f32", NULL};
    if (what_of(call) == TRSM_RLT)
        return (struct tgi_cuda_helper_names){NULL, NULL, is_f64(call) ? "tgk_invert_diagonal_f64" : "tgk_invert_diagonal_f32"};
    return none;
}

/* Which arguments are sizes, by call: bit i for argument i. */
static const uint8_t sizes_of[N_WHAT] = {
    [GEMM_NN] = 1 << 0 | 1 << 4 | 1 << 5, [GEMM_NT] = 1 << 0 | 1 << 4 | 1 << 5, [GEMM_TN] = 1 << 0 | 1 << 4 | 1 << 5,
    [SYRK_LOWER] = 1 << 0 | 1 << 3,       [TRSM_RLT] = 1 << 0 | 1 << 3,         [TRSM_RUN] = 1 << 0 | 1 << 3,
    [TRSM_LLN] = 1 << 0 | 1 << 3,         [POTRF_LOWER] = 1 << 0};

bool tgi_cuda_blas_can(uint32_t call, void *const *args)
{
    for (uint32_t i = 0; i < 8; i++) {
        int64_t size = sizes_of[what_of(call)] >> i & 1 ? *(const int64_t *)args[i] : 1;
        if (size < 1 || size > INT32_MAX)
            return false;
    }
    return true;
}

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
        for (uint32_t k = 0; rc == 0 && k < N_BLAS_LANES; k++) {
            struct tgi_blas_lane *l = &b->lanes[d][k];
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
        for (uint32_t k = 0; rc == 0 && k < N_BLAS_LANES; k++) {
            struct tgi_blas_lane *l = &b->lanes[d][k];
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

static int load_locked(struct tgi_cuda *cuda, uint32_t call, struct tg_error *err)
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

/* Any thread that prepares a run may be the first to ask. */
int tgi_cuda_blas_load(struct tgi_cuda *cuda, uint32_t call, struct tg_error *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    int rc = load_locked(cuda, call, err);
    pthread_mutex_unlock(&lock);
    return rc;
}

void tgi_cuda_blas_close(struct tgi_cuda *cuda)
{
    struct tgi_cuda_blas *b = cuda->blas;
    if (!b)
        return;
    for (uint32_t d = 0; d < cuda->base.n_devices; d++)
        for (uint32_t k = 0; k < N_BLAS_LANES; k++) {
            struct tgi_blas_lane *l = &b->lanes[d][k];
            tgi_cuda_try_enter(cuda, d);
            if (l->blas)
                b->blas.Destroy(l->blas);
            if (l->solver)
                b->solver.Destroy(l->solver);
            CUdeviceptr memory[] = {l->blas_work, l->work, l->info};
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

