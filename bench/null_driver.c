/* A CUDA driver whose calls succeed and do nothing, to measure what a program does beside calling it. */
#include "gpu/cuda_api.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* null_driver_answers.c has those that must return something. */
#define NULL_CALL_X(name, symbol, since, params) \
    __attribute__((weak, visibility("default"))) CUresult symbol params; \
    CUresult symbol params { return CUDA_SUCCESS; }
TGI_CUDA_CALLS(NULL_CALL_X)
