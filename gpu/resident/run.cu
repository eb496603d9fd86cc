/* The embedded kernel for clusters: every body of kernels/resident.h.  Where NVRTC is there, one that is generated for what a graph
 * uses takes its place. */
#include "kernels/resident.h"
#include "kernels/resident/elements.cuh"
#include "kernels/resident/hash.cuh"
#include "kernels/resident/stencil.cuh"
#include "kernels/resident/reduce.cuh"
#include "kernels/resident/rows.cuh"
#include "kernels/resident/spin.cuh"
#include "kernels/resident/moves.cuh"
#include "kernels/resident/dense.cuh"
#include "kernels/resident/sparse.cuh"
#include "kernels/resident/align.cuh"
#include "kernels/resident/attention.cuh"

#define TGI_RUN_NEAR     TGI_BODIES_NEAR
#define TGI_RUN_APART    TGI_BODIES_APART
#define TGI_RUN_USERS(X) /* none that were known when it was compiled */
#define TGI_HAS_POSTS
#include "gpu/resident/run.cuh"
