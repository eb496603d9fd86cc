/* What functions may use that are tasks inside a resident kernel: variants "on": "resident" of a graph file's kernels.
 *
 * Such a function does the same work as the kernel's variant for CUDA devices, with the threads of one warp instead of a grid:
 *
 *     "variants": [ { "on": "cuda", "code": "...", "grid": ["ceildiv(n,256)"], "block": [256] },
 *                   { "on": "resident", "code": [
 *                       "unsigned saxpy(int n, float a, const float *x, float *y)",
 *                       "{",
 *                       "    for (int i = tg_lane(); i < n; i += TG_LANES)",
 *                       "        y[i] += a * x[i];",
 *                       "    return 0;",
 *                       "}" ] } ]
 *
 * It takes the kernel's parameters in their order, scalars of the declared size and tiles as pointers, and returns 0, or a code
 * other than 0 with which the task fails, that of the first lane which has one; one that cannot fail may return void.  All lanes of the warp
 * call it together and return from it together.  The warps around it execute other tasks, so there is
 * no __syncthreads() and no __shared__ memory.  Nobody reads what it writes before it has returned.  Data that tasks
 * write must not be read through __ldg() or const __restrict__.
 *
 * A function whose variant says "width": "block" is called by all warps of a block together, for one task:
 *
 *     { "on": "resident", "width": "block", "code": [
 *           "unsigned saxpy(int n, float a, const float *x, float *y)",
 *           "{",
 *           "    for (int i = tg_block_thread(); i < n; i += tg_block_threads())",
 *           "        y[i] += a * x[i];",
 *           "    return 0;",
 *           "}" ] }
 *
 * What a warp is above, the block is then: tg_block_sync() is where all of its threads meet, and each comes to it as often as
 * the others.  Here too there is no __syncthreads(), and no __shared__ memory but what tg_block_sum() and tg_block_max() need.  If warps return
 * different codes the task fails with one of them.  Such a function makes no tasks.
 *
 * One whose variant says "width": "thread" is called by a single thread, and TG_LANES is 1 in it:
 *
 *     { "on": "resident", "width": "thread", "code": "void add(const int *x, const int *y, int *z) { *z = *x + *y; }" }
 *
 * A warp executes up to 32 tasks with such a function at once, a lane each: tasks that cannot depend on each other, as the longest ways to them
 * are equally long.  They begin when all that any of them waits for is there, and are over when all are.  Such a function makes no tasks either.
 *
 * This header is included before the source, which is compiled by NVRTC together with those of the other kernels that are in one
 * resident kernel, in a namespace of its own; it can include nothing that NVRTC does not find by itself.
 *
 * Where TG_LANES is defined as 1, or the compiler is none for GPUs, the same source is a function for one thread.
 *
 * A function whose variant says "spawns": true may make tasks that call it again, with other arguments, and these may make more:
 *
 *     tg_spawn(function, arguments ..)               all lanes, with the same arguments: one task
 *     tg_spawn_each(wants, function, arguments ..)   all lanes, each with its own: a task for each lane that wants one
 *
 * The answer is 0, or TG_NO_ROOM, to which the function does the work itself: room is bounded, and there is none where it is not executed in a dynamic
 * program (docs/RESIDENT.md).  Such a task begins when the function has returned, if it returned no failure, and the graph's task is
 * done, for those that wait for it, when all are done that came of it.  There is no other order among them, so what several
 * of them write is atomic.  The function that is named is itself, or that of another kernel of the same source whose tasks are in
 * the same resident program.
 *
 * It may also return TG_AGAIN: it is called again with the same arguments, after what its worker has to do besides. */
#ifndef TGRAPH_RESIDENT_H
#define TGRAPH_RESIDENT_H

#define TG_NO_ROOM 1u
#define TG_AGAIN   0xfffffffeu

#ifdef TGI_GPU_RESIDENT_USER_CUH
#define tg_spawn(function, ...)             ::user::spawn<function>(__VA_ARGS__)
#define tg_spawn_each(wants, function, ...) ::user::spawn_each<function>(wants, __VA_ARGS__)
#else
#define tg_spawn(function, ...)             TG_NO_ROOM
#define tg_spawn_each(wants, function, ...) ((wants) ? TG_NO_ROOM : 0)
#endif

#if defined(__CUDACC__) && !defined(TG_LANES)

#define TG_LANES 32 /* of a warp */
static __device__ __forceinline__ int tg_lane(void) { return (int)(threadIdx.x & 31u); }
/* All lanes meet, and each sees what the others have written before. */
static __device__ __forceinline__ void tg_lanes_sync(void) { __syncwarp(); }
/* Of every lane's number, in every lane, always added in the same order. */
template <class T> static __device__ __forceinline__ T tg_lanes_sum(T x)
{
    for (int d = 16; d; d /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, d);
    return x;
}
template <class T> static __device__ __forceinline__ T tg_lanes_max(T x)
{
    for (int d = 16; d; d /= 2) {
        T y = __shfl_xor_sync(0xffffffffu, x, d);
        x = y > x ? y : x;
    }
    return x;
}
/* Of lane `from`. */
template <class T> static __device__ __forceinline__ T tg_lanes_get(T x, int from)
{
    return __shfl_sync(0xffffffffu, x, from);
}

/* In functions a block wide. */
static __device__ __forceinline__ int tg_block_thread(void) { return (int)threadIdx.x; }
static __device__ __forceinline__ int tg_block_threads(void) { return (int)blockDim.x; }
/* All threads of the block meet, and each sees what the others have written before. */
static __device__ __forceinline__ void tg_block_sync(void)
{
    __syncwarp();
    asm volatile("barrier.sync 2, %0;" ::"r"(blockDim.x) : "memory");
}
/* Not for users: of every thread's, joined within warps, in every thread. */
template <class T, class F> static __device__ __forceinline__ T tgi_block_join(T of_warp, F join)
{
    __shared__ T of_warps[32];
    if (tg_lane() == 0)
        of_warps[threadIdx.x / 32] = of_warp;
    tg_block_sync();
    T all = of_warps[0];
    for (unsigned i = 1; i < blockDim.x / 32; i++)
        all = join(all, of_warps[i]);
    tg_block_sync(); /* before the next ones are written */
    return all;
}
/* Of every thread's number, in every thread, always added in the same order. */
template <class T> static __device__ __forceinline__ T tg_block_sum(T x)
{
    return tgi_block_join(tg_lanes_sum(x), [](T a, T b) { return a + b; });
}
template <class T> static __device__ __forceinline__ T tg_block_max(T x)
{
    return tgi_block_join(tg_lanes_max(x), [](T a, T b) { return b > a ? b : a; });
}

#else
#define TGI_ONE_THREAD
#endif
#endif

/* Not for users: what the names are for one thread.  Included again, with TGI_THREAD_WIDE, before sources that are a thread wide, in which no tasks are made. */
#if defined(TGI_ONE_THREAD) || defined(TGI_THREAD_WIDE)
#undef TG_LANES
#define TG_LANES 1
#define tg_lane()             0
#define tg_lanes_sync()       ((void)0)
#define tg_lanes_sum(x)       (x)
#define tg_lanes_max(x)       (x)
#define tg_lanes_get(x, from) ((void)(from), (x))
#define tg_block_thread()     0
#define tg_block_threads()    1
#define tg_block_sync()       ((void)0)
#define tg_block_sum(x)       (x)
#define tg_block_max(x)       (x)
#endif
#ifdef TGI_THREAD_WIDE
#undef tg_spawn
#undef tg_spawn_each
#define tg_spawn(function, ...)             TG_NO_ROOM
#define tg_spawn_each(wants, function, ...) ((wants) ? TG_NO_ROOM : 0)
#endif
