/* Loaded modules, one per image and device: the built-in kernels', and what users bring.
 *
 * A user's image is kept for as long as code refers to it; of those that nothing refers to the least recently used are
 * unloaded. */
#ifndef TGI_GPU_MODULE_H
#define TGI_GPU_MODULE_H

#include "gpu/device.h"

struct tgi_cuda_modules;
struct tgi_cuda_image; /* a user's: loaded where it was needed */

int tgi_cuda_modules_create(struct tgi_cuda *cuda, struct tgi_cuda_modules **modules_p, struct tg_error *err);
void tgi_cuda_modules_destroy(struct tgi_cuda *cuda, struct tgi_cuda_modules *modules);

/* The module of built-in kernels on a device: what $TGRAPH_CUDA_KERNELS names, a file with any image that the driver
 * loads, else what is embedded.  TG_E_NO_VARIANT: neither is there. */
int tgi_cuda_modules_builtin(struct tgi_cuda *cuda, struct tgi_cuda_modules *modules, uint32_t device, CUmodule *module_p,
                             struct tg_error *err);
/* A kernel that decides or tells the time in graphs (decide.h), of $TGRAPH_CUDA_KERNELS or of a module of its own.  TG_E_UNSUPPORTED:
 * the driver knows no conditions, without which that module cannot be loaded. */
int tgi_cuda_modules_in_graphs(struct tgi_cuda *cuda, struct tgi_cuda_modules *modules, uint32_t device, const char *kernel,
                               CUfunction *function_p, struct tg_error *err);
/* Where the resident executor's kernel for graphs is: in the same file, else embedded.  TG_E_UNSUPPORTED: neither. */
int tgi_cuda_modules_resident(struct tgi_cuda_modules *modules, const void **image_p, struct tg_error *err);
/* Whether either is. */
bool tgi_cuda_modules_has_builtin(void);
/* Where its kernels leave failures (struct tgi_fault); 0: the module has not been loaded there. */
CUdeviceptr tgi_cuda_modules_fault(const struct tgi_cuda_modules *modules, uint32_t device);

/* The image for these bytes (copied), shared by all who bring the same. */
int tgi_cuda_image_retain(struct tgi_cuda_modules *modules, const void *bytes, size_t n_bytes, struct tgi_cuda_image **image_p,
                          struct tg_error *err);
void tgi_cuda_image_release(struct tgi_cuda *cuda, struct tgi_cuda_modules *modules, struct tgi_cuda_image *image);
int tgi_cuda_image_load(struct tgi_cuda *cuda, struct tgi_cuda_modules *modules, struct tgi_cuda_image *image,
                        uint32_t device, const char *kernel,
                        CUmodule *module_p, struct tg_error *err);

#endif
