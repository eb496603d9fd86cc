// The warp of lcs and smith_waterman (kernels/align.cuh) against their CPU variants: random tiles have the same bits.
//
//     align ROUNDS SEED
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "tests/warp/dice.hpp"
#include "tests/warp/lanes.hpp"

#include "kernels/align.cuh"

extern "C" {
#include "graph/builtin.h"
extern const struct tgi_builtin tgi_builtin_lcs, tgi_builtin_smith_waterman;
}

static std::vector<uint8_t> letters(int64_t n)
{
    std::vector<uint8_t> s((size_t)n + 1);
    for (auto &c : s)
        c = (uint8_t)(roll(8) ? 'a' + roll(4) : roll(256));
    return s;
}
static std::vector<int32_t> scores(size_t n)
{
    std::vector<int32_t> s(n + 1);
    for (auto &v : s)
        v = (int32_t)roll(100);
    return s;
}

static bool is_same(uint64_t seed)
{
    dice = seed * 0x9e3779b97f4a7c15u;
    roll(2);
    static const int64_t sides[] = {0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 96, 100, 127, 128, 129, 256, 260};
    int64_t m = roll(3) ? sides[roll(17)] : (int64_t)roll(200), n = roll(3) ? sides[roll(17)] : (int64_t)roll(300);
    bool is_local = seed % 2;
    uint32_t neighbours = roll(8);
    int64_t numbers[] = {m, n, (int64_t)roll(5), -(int64_t)roll(5), -(int64_t)roll(5)};
    size_t n_cells = (size_t)(m * n);
    auto a = letters(m), b = letters(n);
    auto north = scores(n_cells), west = scores(n_cells), northwest = scores(n_cells);
    std::vector<int32_t> of_cpu(n_cells + 5, 7), of_warp = of_cpu;
    size_t shift = roll(2); /* not aligned */
    const int32_t *around[] = {neighbours & 1 ? north.data() : nullptr, neighbours & 2 ? west.data() : nullptr,
                               neighbours & 4 ? northwest.data() : nullptr};
    const void *pa = a.data(), *pb = b.data();
    int32_t *ph = of_cpu.data() + shift;
    void *args[11] = {&numbers[0], &numbers[1], &pa, &pb, &ph};
    int at = 5;
    for (int i = 2; is_local && i < 5; i++)
        args[at++] = &numbers[i];
    for (int i = 0; i < 3; i++)
        args[at++] = &around[i];
    (is_local ? tgi_builtin_smith_waterman : tgi_builtin_lcs).cpu[TGI_DTYPE_T](args, nullptr);
    align::table t = {m, n, a.data(), b.data(), of_warp.data() + shift, around[0], around[1], around[2]};
    align::rule rule = {align::clamp(numbers[2]), align::clamp(numbers[3]), align::clamp(numbers[4])};
    lanes::run([&](int lane) { is_local ? align::by_warp<true>(t, rule, lane) : align::by_warp<false>(t, rule, lane); });
    if (of_cpu == of_warp)
        return true;
    printf("seed %llu: %s of %lld x %lld differs\n", (unsigned long long)seed, is_local ? "smith_waterman" : "lcs", (long long)m, (long long)n);
    return false;
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], nullptr, 0) : 60, seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1, n_wrong = 0;
    for (uint64_t i = seed; i < seed + n; i++)
        n_wrong += !is_same(i);
    printf("%llu of %llu are the same\n", (unsigned long long)(n - n_wrong), (unsigned long long)n);
    return n_wrong != 0;
}
