/* See trial.h. */
#include "gpu/library/tgraph_device.h"
#include "gpu/library/trial.h"

namespace trial {
struct clock_limit {
    uint64_t deadline;
    uint32_t n;
    __device__ explicit clock_limit(uint64_t ns) : deadline(tgi_now_ns() + ns), n(0) {}
    /* After something in vain.  The same in all lanes, by lane 0's clock. */
    __device__ __forceinline__ bool is_over() { return (++n & 255) == 0 && tgi_warp_first(tgi_now_ns()) > deadline; }
};

__device__ __forceinline__ uint32_t warp_id() { return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; }
__device__ __forceinline__ void fail(const struct tgd_trial &t)
{
    if (tgi_lane() == 0)
        tgi_word_add_relaxed(t.n_failed, 1);
}
} // namespace trial

/* ---- Messages -------------------------------------------------------------------------------*/

/* The message is words that follow from the first.  Lane i makes and checks the i-th of a batch. */
extern "C" __global__ void __launch_bounds__(256) tgk_trial_messages(const __grid_constant__ struct tgd_trial t)
{
    extern __shared__ __align__(16) uint32_t staged[];
    uint32_t words = t.message_bytes / 4, warp = trial::warp_id(), each = blockDim.x / 32, lane = tgi_lane(), half = gridDim.x / 2;
    uint32_t *mine = staged + threadIdx.x / 32 * 32 * words;
    uint64_t sum = 0, n = 0, want = (uint64_t)t.n_rounds * t.batch;
    trial::clock_limit limit(t.limit_ns);
    if (t.form == TGD_TRIAL_ADDITIONS) {
        uint32_t *counter = (uint32_t *)t.object + warp * 32 + lane;
        for (; n < want; n += 32)
            sum += tgi_word_add_relaxed(counter, 1);
        n = tgi_warp_get(n, 0);
    } else {
        bool is_sender = blockIdx.x < half;
        uint32_t channel = t.form == TGD_TRIAL_ONE ? 0 : (is_sender ? blockIdx.x : blockIdx.x - half) * each + threadIdx.x / 32;
        struct tgd_channel *c = (struct tgd_channel *)((char *)t.object + channel * t.object_stride);
        if (blockIdx.x >= 2 * half)
            return;
        while (n < want) {
            uint32_t n_moved, most = want - n < t.batch ? (uint32_t)(want - n) : t.batch;
            if (is_sender) {
                uint32_t first = warp << 20 | (uint32_t)(n + lane);
                for (uint32_t i = 0; lane < most && i < words; i++)
                    mine[lane * words + i] = first + i * 0x9e3779b9u;
                tgi_warp_sync();
                n_moved = tgd_channel_send(c, 0, mine, most);
                sum += lane < n_moved ? first : 0;
            } else {
                n_moved = tgd_channel_receive(c, mine, most);
                if (lane < n_moved) {
                    uint32_t first = mine[lane * words];
                    sum += first;
                    for (uint32_t i = 1; i < words; i++)
                        if (mine[lane * words + i] != first + i * 0x9e3779b9u)
                            tgi_word_add_relaxed(t.n_failed, 1);
                }
            }
            tgi_warp_sync();
            n += n_moved;
            if (n_moved == 0 && limit.is_over()) {
                trial::fail(t);
                break;
            }
        }
    }
    for (uint32_t d = 16; d; d /= 2)
        sum += tgi_warp_swapped(sum, d);
    if (lane == 0) {
        t.result[warp] = n;
        t.sum[warp] = sum;
    }
}

/* ---- Slab -----------------------------------------------------------------------------------*/

extern "C" __global__ void __launch_bounds__(256) tgk_trial_slab(const __grid_constant__ struct tgd_trial t)
{
    __shared__ struct tgd_magazine magazines[8];
    __shared__ uint32_t bits;
    struct tgd_magazine *m = &magazines[threadIdx.x / 32];
    struct tgd_slab *s = (struct tgd_slab *)t.object;
    uint32_t warp = trial::warp_id(), lane = tgi_lane();
    uint64_t sum = 0, cycles = 0, n = 0;
    void *p = NULL, *held[16];
    tgd_magazine_init(m, warp);
    if (t.form == TGD_TRIAL_MAGAZINE) {
        /* Sixteen in turn from one full word, given back outside the clock. */
        for (uint32_t i = 0; i < t.n_rounds; i++) {
            if (tgd_slab_alloc(s, m, 64, &p) == TGD_OK)
                tgd_slab_free(s, m, 64, p);
            uint64_t begin = (uint64_t)clock64();
#pragma unroll
            for (uint32_t k = 0; k < 16; k++)
                if (tgd_slab_alloc(s, m, 64, &held[k]) != TGD_OK)
                    trial::fail(t);
            /* The clock is read when all addresses are there. */
#pragma unroll
            for (uint32_t k = 0; k < 16; k++)
                asm volatile("" ::"l"(held[k]) : "memory");
            cycles += (uint64_t)clock64() - begin;
            n += 16;
#pragma unroll
            for (uint32_t k = 0; k < 16; k++) {
                for (uint32_t j = 0; j < k; j++)
                    if (held[j] == held[k])
                        trial::fail(t);
                if (tgd_slab_free(s, m, 64, held[k]) != TGD_OK)
                    trial::fail(t);
            }
        }
        sum = cycles;
    } else if (t.form == TGD_TRIAL_SHARED_ATOMIC) {
        if (threadIdx.x == 0)
            bits = ~0u;
        __syncthreads();
        for (uint32_t i = 0; i < t.n_rounds; i++) {
            uint64_t begin = (uint64_t)clock64();
            uint32_t x = ~0u;
#pragma unroll
            for (uint32_t k = 0; k < 16; k++)
                x = tgi_warp_get(lane == 0 ? atomicAnd(&bits, x & ~(1u << k)) : 0, 0) | 1;
            asm volatile("" ::"r"(x) : "memory");
            cycles += (uint64_t)clock64() - begin;
            n += 16;
        }
        sum = cycles;
    } else
        for (uint32_t i = 0; i < t.n_rounds; i++) {
            uint32_t bytes = 16 + 16 * ((i + warp) % 8);
            if (tgd_slab_alloc_lanes(s, m, bytes, true, &p) != TGD_OK) {
                tgi_word_add_relaxed(t.n_failed, 1);
                p = NULL;
            } else {
                *(volatile uint64_t *)p = (uint64_t)warp << 32 | lane;
                tgi_warp_sync();
                n += *(volatile uint64_t *)p == ((uint64_t)warp << 32 | lane);
            }
            if (tgd_slab_free_lanes(s, m, bytes, p) != TGD_OK)
                trial::fail(t);
        }
    tgd_slab_drain(s, m);
    for (uint32_t d = 16; t.form == TGD_TRIAL_LANES && d; d /= 2)
        n += tgi_warp_swapped(n, d);
    if (lane == 0) {
        t.result[warp] = n;
        t.sum[warp] = sum;
    }
}

/* ---- Gang -----------------------------------------------------------------------------------*/

/* A block of one warp is a member. */
extern "C" __global__ void __launch_bounds__(32) tgk_trial_gang(const __grid_constant__ struct tgd_trial t)
{
    struct tgd_gang *g = (struct tgd_gang *)t.object;
    struct tgd_member m;
    const struct tgd_limit limit = {t.limit_ns, NULL};
    uint32_t *words = (uint32_t *)t.result + 1024; /* of members, to see that the barrier holds */
    uint64_t begin = 0, x, sum = 0;
    int rc = tgd_member_init(&m, g, blockIdx.x);
    for (uint32_t i = 0; i <= t.n_rounds && rc == TGD_OK; i++) {
        if (i == 1)
            begin = tgi_now_ns();
        if (t.form == TGD_TRIAL_BARRIER)
            rc = tgd_gang_sync(&m, &limit);
        else if (t.form == TGD_TRIAL_REDUCE) {
            rc = tgd_gang_reduce_u64(&m, TGD_SUM, i + blockIdx.x, &limit, &x);
            uint64_t n = gridDim.x;
            if (rc == TGD_OK && x != n * i + n * (n - 1) / 2)
                trial::fail(t);
        } else if (tgi_lane() == 0) {
            trial::clock_limit clock(t.limit_ns);
            tgi_add_release(&g->n_come, 1);
            while (tgi_word_load_acquire(&g->n_come) < (i + 1) * gridDim.x && rc == TGD_OK)
                rc = (++clock.n & 255) == 0 && tgi_now_ns() > clock.deadline ? TGD_E_TIMEOUT : TGD_OK;
        }
        rc = (int)tgi_warp_get((uint32_t)rc, 0);
    }
    uint64_t end = tgi_now_ns();
    /* Not timed: everybody's word of a round is seen after it. */
    for (uint32_t i = 0; t.form == TGD_TRIAL_BARRIER && i < 100 && rc == TGD_OK; i++) {
        if (tgi_lane() == 0)
            *(volatile uint32_t *)&words[(i & 1) * gridDim.x + blockIdx.x] = i + 1;
        rc = tgd_gang_sync(&m, &limit);
        for (uint32_t k = tgi_lane(); k < gridDim.x; k += 32)
            if (*(volatile uint32_t *)&words[(i & 1) * gridDim.x + k] != i + 1)
                tgi_word_add_relaxed(t.n_failed, 1);
    }
    if (rc != TGD_OK)
        trial::fail(t);
    if (tgi_lane() == 0) {
        t.result[blockIdx.x] = end - begin;
        t.sum[blockIdx.x] = sum;
    }
}

/* ---- Log ------------------------------------------------------------------------------------*/

/* A task is a load, a store and a wait of task_ns on the clock of the multiprocessor, in cycles of a nanosecond at least. */
extern "C" __global__ void __launch_bounds__(256) tgk_trial_log(const __grid_constant__ struct tgd_trial t)
{
    uint32_t warp = trial::warp_id();
    struct tgd_log log;
    uint64_t x = warp;
    tgd_log_open(&log, (struct tgd_logbook *)t.object, warp, TGD_LOG_INFO);
    uint32_t left = t.every ? 1 + warp % t.every : 0; /* not all warps at once */
    for (uint32_t i = 0; i < t.n_rounds; i++) {
        uint64_t begin = (uint64_t)clock64();
        while ((uint64_t)clock64() - begin < 2ull * t.task_ns)
            ;
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        if (t.form == TGD_TRIAL_LOGGED && --left == 0) {
            TGD_LOG(&log, TGD_LOG_INFO, "a task has ended", i, x);
            left = t.every;
        }
    }
    if (tgi_lane() == 0) {
        t.result[warp] = log.n_written;
        t.sum[warp] = x;
    }
}
