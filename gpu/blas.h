/* cuBLAS and cuSOLVER for the dense kernels they are best at, loaded when first needed.
 *
 * Our kernels are row-major on whole square or rectangular tiles; a row-major matrix is the transpose of a
 * column-major one, so each call is the library's with operands and sides exchanged.
 *
 * One handle per lane, with a workspace of its own, so that lanes never wait for each other and calls can be
 * captured. */
#ifndef TGI_GPU_BLAS_H
#define TGI_GPU_BLAS_H

#include "gpu/device.h"

/* Which call a built-in kernel of a type becomes; TG_NONE: none. */
uint32_t tgi_cuda_blas_find(const char *builtin, enum tg_dtype type);
/* Loads the library the call needs and makes handles and workspaces for the compute lanes of all devices.
 * TG_E_NO_LIBRARY: not installed, or too old, and why. */
int tgi_cuda_blas_load(struct tgi_cuda *cuda, uint32_t call, struct tg_error *err);
/* Whether the library takes tiles of this size: its integers have 32 bits, and it refuses empty ones. */
bool tgi_cuda_blas_can(uint32_t call, void *const *args);
/* Whether the library is likely to be the better way for tiles of this size. */
bool tgi_cuda_blas_is_better(uint32_t call, void *const *args);
/* Kernels of ours that calls are put together with, by their names in the module of built-in kernels for this type of
 * elements; NULL: the call does not need it. */
struct tgi_cuda_helper_names {
    const char *report, *transpose, *invert;
};
/* The same on a device.  report turns the word that a factorisation leaves into a record like our own kernels leave
 * (kernels/fault.h). */
struct tgi_cuda_helpers {
    CUfunction report, transpose, invert;
};
struct tgi_cuda_helper_names tgi_cuda_blas_helpers(uint32_t call);
/* Enqueues it on a compute lane.  args as the built-in kernel takes them. */
int tgi_cuda_blas_call(struct tgi_cuda *cuda, uint32_t lane, uint32_t call, void **args,
                       const struct tgi_cuda_helpers *helpers, struct tg_error *err);
/* "cublas dgemm" */
const char *tgi_cuda_blas_name(uint32_t call);
/* The versions of the libraries ("13.1.0"), which need no device; TG_E_NO_LIBRARY. */
int tgi_cublas_version(char *text, size_t size, struct tg_error *err);
int tgi_cusolver_version(char *text, size_t size, struct tg_error *err);
void tgi_cuda_blas_close(struct tgi_cuda *cuda);

#endif
