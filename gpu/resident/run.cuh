/* The kernel that runs clusters of a graph's tasks (mem/cluster.h): one cooperative launch is one epoch, which it counts itself.
 *
 * Eight warps a block, so that bodies have up to 255 registers.  Bodies are a switch over lists: who includes this has the bodies
 * and defines
 *
 *   TGI_RUN_NEAR(X)    X(name) for each body that the worker has inside itself,
 *   TGI_RUN_APART(X)   the same for each that it calls,
 *   TGI_RUN_USERS(X)   X(number, function) for each function of users'
 *   TGI_HAS_POSTS      if there are POSTs (post.h)
 *
 * which is all of kernels/resident.h in the embedded kernel (run.cu), and what a graph uses in a generated one (gpu/executor.h). */
#include "gpu/resident/user.cuh"
#include "kernels/resident/warp.cuh"

#define TGI_CALL_STAGE  stage_word
#define TGI_CALL_BODIES call_body

struct tgi_worker;
struct tgi_resident_task;
#ifdef TGI_HAS_POSTS
static __device__ __forceinline__ uint64_t *post_words(const struct tgi_worker *w);
#define TGI_POST_WORDS post_words
#endif
static __device__ __forceinline__ void stage_word(const struct tgi_worker *w, uint64_t word);
static __device__ __forceinline__ unsigned call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#include "gpu/resident/worker.h"

enum { WARPS = TGI_RESIDENT_RUN_WARPS };

#define BODY(name)          \
    case TGI_BODY_##name:   \
        return body_##name(a);

/* One call, so that what the worker keeps in registers is saved in one place, and only on this way. */
static __device__ __noinline__ unsigned call_apart(uint32_t body, const uint64_t *a)
{
    switch (body) {
        TGI_RUN_APART(BODY)
    }
    return TGI_CALL_NO_BODY;
}

/* Of the task at hand of each warp, where every lane reads them. */
static __shared__ uint64_t words[WARPS][TGI_RESIDENT_MAX_WORDS];

#ifdef TGI_HAS_POSTS
static __shared__ uint64_t words_of_posts[WARPS][TGI_POSTS * TGI_RESIDENT_MAX_WORDS];

static __device__ __forceinline__ uint64_t *post_words(const struct tgi_worker *w)
{
    (void)w;
    return words_of_posts[threadIdx.x / 32];
}
#endif

static __device__ __forceinline__ void stage_word(const struct tgi_worker *w, uint64_t word)
{
    (void)w;
    words[threadIdx.x / 32][tgi_lane()] = word;
}

static __device__ __forceinline__ unsigned call_body(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    const uint64_t *a = words[threadIdx.x / 32];
    uint32_t body = TGI_CALL_BODY(t->in[0]);
    switch (body) {
#define body_spin(a) (warp::move_for_spin(a), tgi_body_burn(w, t, warp::ns_of_spin(a)), 0u)
        TGI_RUN_NEAR(BODY)
#undef body_spin
#define USER(number, function) \
    case number:               \
        return user::call<function>(a);
        TGI_RUN_USERS(USER)
#undef USER
    }
    return call_apart(body, a);
}
#undef BODY

extern __shared__ __align__(16) char tgk_resident_shared[];

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    tgk_resident_run(const __grid_constant__ struct tgi_resident_view v)
{
    struct tgi_resident_task *tasks = (struct tgi_resident_task *)tgk_resident_shared;
    uint32_t warp = threadIdx.x / 32, epoch = tgi_load_relaxed(&v.control->epoch) + 1;
    struct tgi_cell *cells = (struct tgi_cell *)(tasks + 2 * TGI_RESIDENT_BATCH * WARPS);
    uint32_t *counters = (uint32_t *)(cells + v.n_shared_cells);
    for (uint32_t i = threadIdx.x; i < v.n_shared_cells; i += blockDim.x)
        cells[i].data = cells[i].tail = 0;
    for (uint32_t i = threadIdx.x; i < v.n_shared_counters; i += blockDim.x)
        counters[i] = 0;
    __syncthreads();
    struct tgi_worker w = {&v, cells, counters, blockIdx.x * WARPS + warp, epoch, 1, 0, false, false};
    w.is_failed = tgi_load_relaxed(&v.control->is_failed) != 0;
    tgi_warp_worker_run(&w, tasks + 2 * TGI_RESIDENT_BATCH * warp);
    tgi_leave(v.control, epoch);
}
