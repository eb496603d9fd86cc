/* See probe.h. */
#include "gpu/resident/order.h"
#include "gpu/resident/probe.h"

namespace probe {
/* Words of `memory`, each on a line of its own: a flag for each direction and the data behind it. */
constexpr uint32_t LINE = 16;

struct side {
    uint64_t *sent, *received, *sent_data, *received_data;
};

__device__ __forceinline__ uint64_t send_and_receive(uint32_t form, const struct side &s, uint64_t x, uint32_t round,
                                                    bool sends_first, uint64_t deadline, bool *is_late)
{
    for (int step = 0; step < 2; step++) {
        if ((step == 0) == sends_first) {
            uint64_t tail = (uint64_t)round << 32;
            if (form == TGI_PROBE_FLAG)
                tgi_store_relaxed((uint32_t *)s.sent, round);
            else if (form == TGI_PROBE_CELL)
                tgi_cell_store((struct tgi_cell *)s.sent, x, tail);
            else if (form == TGI_PROBE_SHARED)
                tgi_shared_cell_store((struct tgi_cell *)s.sent, x, tail);
            else {
                *s.sent_data = x;
                if (form == TGI_PROBE_RELEASE)
                    tgi_store_release((uint32_t *)s.sent, round);
                else
                    tgi_add_release((uint32_t *)s.sent, 1);
            }
            continue;
        }
        uint64_t data = x, tail = 0;
        for (uint32_t n = 1;; n++) {
            if (form == TGI_PROBE_CELL)
                tgi_cell_load((struct tgi_cell *)s.received, &data, &tail);
            else if (form == TGI_PROBE_SHARED)
                tgi_shared_cell_load((struct tgi_cell *)s.received, &data, &tail);
            else
                tail = (uint64_t)(form == TGI_PROBE_FLAG ? tgi_load_relaxed((uint32_t *)s.received)
                                                         : tgi_load_acquire((uint32_t *)s.received))
                       << 32;
            if ((uint32_t)(tail >> 32) == round)
                break;
            if ((n & 1023) == 0 && tgi_now_ns() > deadline) {
                *is_late = true;
                return x;
            }
        }
        if (form == TGI_PROBE_RELEASE || form == TGI_PROBE_ADD)
            data = *s.received_data;
        x = data + 1;
    }
    return x;
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
    uint64_t *to = is_near ? near : p.memory, *fro = is_near ? near + 2 : p.memory + probe::LINE;
    uint64_t *to_data = p.memory + 2 * probe::LINE, *fro_data = p.memory + 3 * probe::LINE;
    probe::side s = is_first ? probe::side{to, fro, to_data, fro_data} : probe::side{fro, to, fro_data, to_data};
    uint64_t x = 0, begin = tgi_now_ns(), deadline = begin + p.limit_ns;
    bool is_late = false;
    for (uint32_t round = 1; round <= p.n_rounds && !is_late; round++) {
        x = probe::send_and_receive(p.form, s, x, round, is_first, deadline, &is_late);
        if (round == 1)
            begin = tgi_now_ns();
    }
    if (is_first && !is_late && (p.form == TGI_PROBE_FLAG || x > p.n_rounds))
        *p.ns_p = tgi_now_ns() - begin;
}
