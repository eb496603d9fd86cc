/* See probe.h. */
#include "gpu/resident/order.h"
#include "gpu/resident/probe.h"

namespace probe {
/* Words of `memory`, each on a line of its own: a flag for each direction and the data behind it. */
constexpr uint32_t LINE = 16;

/* The form is known where it is compiled, so that a poll is a load, a comparison and a branch. */
template <uint32_t form> struct side {
    uint64_t *sent, *received, *sent_data, *received_data;

    __device__ __forceinline__ void send(uint64_t x, uint32_t round) const
    {
        uint64_t tail = (uint64_t)round << 32;
        if (form == TGI_PROBE_FLAG)
            tgi_store_relaxed((uint32_t *)sent, round);
        else if (form == TGI_PROBE_CELL)
            tgi_cell_store((struct tgi_cell *)sent, x, tail);
        else if (form == TGI_PROBE_SHARED)
            tgi_shared_cell_store((struct tgi_cell *)sent, x, tail);
        else {
            *sent_data = x;
            if (form == TGI_PROBE_RELEASE)
                tgi_store_release((uint32_t *)sent, round);
            else
                tgi_add_release((uint32_t *)sent, 1);
        }
    }

    /* False: not there yet. */
    __device__ __forceinline__ bool poll(uint64_t *x, uint32_t round) const
    {
        uint64_t tail;
        if (form == TGI_PROBE_FLAG)
            return tgi_load_relaxed((uint32_t *)received) == round;
        if (form == TGI_PROBE_RELEASE || form == TGI_PROBE_ADD)
            return tgi_load_acquire((uint32_t *)received) == round;
        if (form == TGI_PROBE_CELL)
            tgi_cell_load((struct tgi_cell *)received, x, &tail);
        else
            tgi_shared_cell_load((struct tgi_cell *)received, x, &tail);
        return (uint32_t)(tail >> 32) == round;
    }

    /* False: too late. */
    __device__ __forceinline__ bool receive(uint64_t *x, uint32_t round, uint64_t deadline) const
    {
        for (uint32_t n = 0; !poll(x, round); n++)
            if ((n & 1023) == 1023 && tgi_now_ns() > deadline)
                return false;
        if (form == TGI_PROBE_RELEASE || form == TGI_PROBE_ADD)
            *x = *received_data;
        return true;
    }
};

/* Who is first sends one round ahead of what it receives.  The time from the first round's end to the last one's. */
template <uint32_t form> __device__ __forceinline__ void run(const struct tgi_probe &p, uint64_t *near, bool is_first)
{
    uint64_t *to = form == TGI_PROBE_SHARED ? near : p.memory, *fro = form == TGI_PROBE_SHARED ? near + 2 : p.memory + LINE;
    uint64_t *to_data = p.memory + 2 * LINE, *fro_data = p.memory + 3 * LINE;
    side<form> s = is_first ? side<form>{to, fro, to_data, fro_data} : side<form>{fro, to, fro_data, to_data};
    uint64_t x = 0, begin = tgi_now_ns(), deadline = begin + p.limit_ns;
    if (is_first)
        s.send(x, 1);
    for (uint32_t round = 1; round <= p.n_rounds; round++) {
        if (!s.receive(&x, round, deadline))
            return;
        if (round == 1)
            begin = tgi_now_ns();
        s.send(++x, is_first ? round + 1 : round);
    }
    if (is_first && (form == TGI_PROBE_FLAG || x > p.n_rounds))
        *p.ns_p = tgi_now_ns() - begin;
}
} // namespace probe

extern "C" __global__ void __launch_bounds__(64) tgk_probe(const __grid_constant__ struct tgi_probe p)
{
    __shared__ __align__(16) uint64_t near[4];
    bool is_near = p.form == TGI_PROBE_SHARED, is_first = blockIdx.x == 0 && threadIdx.x == 0;
    bool is_second = is_near ? blockIdx.x == 0 && threadIdx.x == 32 : blockIdx.x == p.other && threadIdx.x == 0;
    if (threadIdx.x < 4)
        near[threadIdx.x] = 0;
    __syncthreads();
    if (!is_first && !is_second)
        return;
    switch (p.form) {
    case TGI_PROBE_FLAG:
        return probe::run<TGI_PROBE_FLAG>(p, near, is_first);
    case TGI_PROBE_CELL:
        return probe::run<TGI_PROBE_CELL>(p, near, is_first);
    case TGI_PROBE_RELEASE:
        return probe::run<TGI_PROBE_RELEASE>(p, near, is_first);
    case TGI_PROBE_ADD:
        return probe::run<TGI_PROBE_ADD>(p, near, is_first);
    case TGI_PROBE_SHARED:
        return probe::run<TGI_PROBE_SHARED>(p, near, is_first);
    }
}
