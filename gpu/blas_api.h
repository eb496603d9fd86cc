/* What gpu/blas.c loads and gpu/blas_call.c calls: entry points, handles, workspaces. */
#ifndef TGI_GPU_BLAS_API_H
#define TGI_GPU_BLAS_API_H

#include "gpu/blas.h"

enum { OP_N = 0, OP_T = 1, FILL_LOWER = 0, FILL_UPPER = 1, NON_UNIT = 0, UNIT = 1, LEFT = 0, RIGHT = 1 };
typedef struct cublas_context *cublas;
typedef struct cusolver_context *cusolver;

#define GEMM_PARAMS(T) \
    (cublas h, int op_a, int op_b, int m, int n, int k, const T *alpha, const T *a, int lda, const T *b, int ldb, \
     const T *beta, T *c, int ldc)
#define GEMM_BATCHED_PARAMS(T) \
    (cublas h, int op_a, int op_b, int m, int n, int k, const T *alpha, const T *a, int lda, long long stride_a, const T *b, \
     int ldb, long long stride_b, const T *beta, T *c, int ldc, long long stride_c, int count)
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
    X(Strsm, cublasStrsm_v2, TRSM_PARAMS(float)) \
    X(DgemmBatched, cublasDgemmStridedBatched, GEMM_BATCHED_PARAMS(double)) \
    X(SgemmBatched, cublasSgemmStridedBatched, GEMM_BATCHED_PARAMS(float))
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

enum what { GEMM_NN, GEMM_NT, GEMM_TN, SYRK_LOWER, TRSM_RLT, TRSM_RUN, TRSM_LLN, POTRF_LOWER, N_WHAT };
/* A call is 2 * what + (is f64). */
static inline enum what what_of(uint32_t call) { return (enum what)(call / 2); }
static inline bool is_f64(uint32_t call) { return call % 2; }

enum { BLAS_WORK_BYTES = 32 << 20, N_BLAS_LANES = TGI_COMPUTE_LANES };

struct tgi_blas_lane {
    cublas blas;
    CUdeviceptr blas_work;
    cusolver solver;
    CUdeviceptr info;
    CUdeviceptr work; /* of calls that need more than the libraries' own */
    size_t work_bytes;
    CUdeviceptr old_work[32]; /* too small by now, but perhaps in use */
    uint32_t n_old;
};

struct tgi_cuda_blas {
    struct cublas_api blas;
    struct cusolver_api solver;
    struct tgi_blas_lane lanes[TGI_MAX_DEVICES][N_BLAS_LANES];
    bool has_blas, has_solver;         /* handles are there */
    bool has_no_blas, has_no_solver;   /* looked for and not found */
};

#endif
