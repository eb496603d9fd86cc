/* Bodies as the worker calls them: a switch over lists.  Who includes this has the bodies and defines
 *
 *   TGI_RUN_NEAR(X)    X(name) for each body that the worker has inside itself,
 *   TGI_RUN_APART(X)   the same for each that it calls,
 *   TGI_RUN_USERS(X)   X(number, function) for each function of users',
 *   TGI_RUN_THREADS(X) the same for those that are a thread wide, called for batches; may be left out
 *   TGI_HAS_POSTS      if there are POSTs (post.h)
 *   TGI_HAS_BLOCKS     if there are tasks a block wide (block.h): bodies that can be cut (kernels/resident/cut.h), and users' functions
 *   TGI_CALL_WARPS     warps of a block */
#ifndef TGI_GPU_RESIDENT_CALL_CUH
#define TGI_GPU_RESIDENT_CALL_CUH

#include "gpu/resident/user.cuh"
#include "kernels/resident/warp.cuh"

#ifndef TGI_RUN_THREADS
#define TGI_RUN_THREADS(X)
#endif
#define TGI_CALL_STAGE  stage_word
#define TGI_CALL_BODIES call_body
#ifdef TGI_HAS_BLOCKS
#include "kernels/resident/cut.h"
#define TGI_BLOCK_BODIES call_part
#endif

struct tgi_worker;
struct tgi_resident_task;
#ifdef TGI_HAS_POSTS
static __device__ __forceinline__ uint64_t *post_words(const struct tgi_worker *w);
#define TGI_POST_WORDS post_words
#endif
static __device__ __forceinline__ void stage_word(const struct tgi_worker *w, uint64_t word);
static __device__ __forceinline__ unsigned call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#ifdef TGI_HAS_BLOCKS
static __device__ __forceinline__ unsigned call_part(struct tgi_worker *w, const struct tgi_resident_task *t);
#endif
#include "gpu/resident/worker.h"

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
static __shared__ uint64_t words[TGI_CALL_WARPS][TGI_RESIDENT_MAX_WORDS];

#ifdef TGI_HAS_POSTS
static __shared__ uint64_t words_of_posts[TGI_CALL_WARPS][TGI_POSTS * TGI_RESIDENT_MAX_WORDS];

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
#define THREAD(number, function) \
    case number:                 \
        return user::call_each<function>(w->v->words + t->in[1] + 1, (uint32_t)a[0], &w->failed);
        TGI_RUN_THREADS(THREAD)
#undef THREAD
    }
    return call_apart(body, a);
}

#ifdef TGI_HAS_BLOCKS
/* What this warp does of a task a block wide.  Users' functions find their part by the number of the thread. */
static __device__ __forceinline__ unsigned call_part(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    uint32_t cut = tgi_cut_of(TGI_CALL_BODY(t->in[0])), k = threadIdx.x / 32;
    if (cut) {
        uint64_t *a = words[k];
        int64_t begin, n = tgi_cut_part((int64_t)a[tgi_cut_count(cut)], cut, k, w->v->n_workers_each, &begin);
        uint64_t mine = tgi_cut_word(cut, a, tgi_lane(), begin, n);
        if (n == 0)
            return 0;
        tgi_warp_sync(); /* all have read the words of the whole */
        a[tgi_lane()] = mine;
        tgi_warp_sync();
    }
    return call_body(w, t);
}
#endif
#undef BODY

#endif
