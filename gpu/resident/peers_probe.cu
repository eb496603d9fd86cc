/* See peers_probe.h. */
#ifndef TGI_PEERS
#define TGI_PEERS
#endif
#include "gpu/resident/far.h"
#include "gpu/resident/peers_probe.h"

namespace peers_probe {
/* Words of the memory on a device: what it is told, then the line that it is brought, then the one that it keeps for the other. */
constexpr uint32_t DATA = 48, KEPT = 64, LINE = TGI_RESIDENT_LINE_WORDS;

template <uint32_t form> __device__ __forceinline__ void send(const struct tgi_peers_probe &p, uint64_t x, uint32_t round)
{
    uint32_t lane = tgi_lane();
    if (form == TGI_PEERS_LINE) {
        if (lane < LINE)
            tgi_far_cell_store((struct tgi_cell *)p.other + lane, x + lane, (uint64_t)round << 32);
        return;
    }
    if (form == TGI_PEERS_PUSH && lane < LINE)
        p.other[DATA + lane] = x + lane;
    if (form == TGI_PEERS_PULL && lane < LINE)
        p.mine[KEPT + lane] = x + lane;
    tgi_warp_sync();
    if (lane)
        return;
    if (form == TGI_PEERS_FLAG)
        tgi_far_store_relaxed((uint32_t *)p.other, round);
    else if (form == TGI_PEERS_CELL)
        tgi_far_cell_store((struct tgi_cell *)p.other, x, (uint64_t)round << 32);
    else
        tgi_far_store_release((uint32_t *)p.other, round);
}

template <uint32_t form> __device__ __forceinline__ bool poll(const struct tgi_peers_probe &p, uint64_t *x, uint32_t round)
{
    uint64_t tail;
    if (form == TGI_PEERS_FLAG)
        return tgi_far_load_relaxed((const uint32_t *)p.mine) == round;
    if (form > TGI_PEERS_LINE)
        return tgi_far_load_acquire((const uint32_t *)p.mine) == round;
    tgi_far_cell_load((const struct tgi_cell *)p.mine + (form == TGI_PEERS_LINE ? tgi_lane() % LINE : 0), x, &tail);
    return (uint32_t)(tail >> 32) == round;
}

/* False: too late, or the line is not what was sent. */
template <uint32_t form>
__device__ __forceinline__ bool receive(const struct tgi_peers_probe &p, uint64_t *x, uint32_t round, uint64_t deadline)
{
    uint32_t lane = tgi_lane();
    for (uint32_t n = 0; !poll<form>(p, x, round); n++)
        if ((n & 1023) == 1023 && tgi_now_ns() > deadline)
            return false;
    if (form < TGI_PEERS_LINE)
        return true;
    tgi_warp_sync();
    if (form == TGI_PEERS_LINE) {
        uint64_t mine = *x;
        *x = tgi_warp_first(mine);
        return mine == *x + lane % LINE;
    }
    const uint64_t *line = form == TGI_PEERS_PUSH ? p.mine + DATA : p.other + KEPT;
    uint64_t word = lane < LINE ? *(const volatile uint64_t *)(line + lane) : 0;
    *x = tgi_warp_first(word);
    return !tgi_warp_any(lane < LINE && word != *x + lane);
}

/* Who is first sends one round ahead of what it receives.  The time from the first round's end to the last one's. */
template <uint32_t form> __device__ __forceinline__ void run(const struct tgi_peers_probe &p)
{
    uint64_t x = 0, begin = tgi_now_ns(), deadline = begin + p.limit_ns;
    if (p.is_first)
        send<form>(p, x, 1);
    for (uint32_t round = 1; round <= p.n_rounds; round++) {
        if (tgi_warp_any(!receive<form>(p, &x, round, deadline)))
            return;
        if (round == 1)
            begin = tgi_now_ns();
        send<form>(p, ++x, p.is_first ? round + 1 : round);
    }
    if (p.is_first && tgi_lane() == 0 && (form == TGI_PEERS_FLAG || x == 2 * (uint64_t)p.n_rounds))
        *p.ns_p = tgi_now_ns() - begin;
}
} // namespace peers_probe

extern "C" __global__ void __launch_bounds__(32) tgk_peers_probe(const __grid_constant__ struct tgi_peers_probe p)
{
    switch (p.form) {
    case TGI_PEERS_FLAG:
        return peers_probe::run<TGI_PEERS_FLAG>(p);
    case TGI_PEERS_CELL:
        return peers_probe::run<TGI_PEERS_CELL>(p);
    case TGI_PEERS_LINE:
        return peers_probe::run<TGI_PEERS_LINE>(p);
    case TGI_PEERS_PUSH:
        return peers_probe::run<TGI_PEERS_PUSH>(p);
    case TGI_PEERS_PULL:
        return peers_probe::run<TGI_PEERS_PULL>(p);
    }
}
