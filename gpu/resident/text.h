/* The source of the resident executor's kernel for graphs, as text in the program, for NVRTC: run.cuh and all that it and a text
 * that defines its bodies may include. */
#ifndef TGI_GPU_RESIDENT_TEXT_H
#define TGI_GPU_RESIDENT_TEXT_H

#include "gpu/nvrtc.h"

const struct tgi_nvrtc_header *tgi_resident_headers(int *n_p);

#endif
