/* Kernels that stay, on CUDA devices (mem/stay.h): a cooperative launch in a stream of its own. */
#ifndef TGI_GPU_STAY_H
#define TGI_GPU_STAY_H

#include "gpu/device.h"
#include "mem/stay.h"

extern const struct tgi_stay_ops tgi_cuda_stay_ops;

#endif
