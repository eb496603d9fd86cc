// The warp of attention_part and attention_join (kernels/attention.cuh) against their CPU variants: random parts are close, and a warp
// that forms all shares of a part has the bits that the eight warps of a block have.
//
//     attention ROUNDS SEED
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "tests/warp/dice.hpp"
#include "tests/warp/lanes.hpp"

#include "kernels/attention.cuh"

extern "C" {
#include "graph/builtin.h"
extern const struct tgi_builtin tgi_builtin_attention_part, tgi_builtin_attention_join;
}

template <class T> static std::vector<T> some(int64_t n)
{
    std::vector<T> x((size_t)n + 1);
    for (auto &v : x)
        v = (T)roll(2001) / 1000 - 1;
    return x;
}

template <class T> static bool is_close(const char *what, const std::vector<T> &x, const std::vector<T> &y)
{
    T largest = 1, error = 0;
    for (size_t i = 0; i < x.size(); i++) {
        largest = std::isfinite(x[i]) ? std::fmax(largest, std::fabs(x[i])) : largest;
        error = x[i] == y[i] ? error : std::isfinite(x[i]) && std::isfinite(y[i]) ? std::fmax(error, std::fabs(x[i] - y[i])) : (T)INFINITY;
    }
    bool is_good = error <= largest * (sizeof(T) == 8 ? 1e-13 : 1e-4);
    if (!is_good)
        printf("%s: off by %g of %g\n", what, (double)error, (double)largest);
    return is_good;
}

/* As a block does it, of which each warp forms its share before any are joined; see part_by_block(). */
template <class T> static void by_block(const attention::task<T> &t, int lane)
{
    attention::state<T> handed[attention::WARPS];
    for (int64_t col0 = 0; col0 == 0 || col0 < t.cols; col0 += attention::COLS) {
        for (int warp = 0; warp < attention::WARPS; warp++)
            handed[warp] = attention::share(t, warp, col0, attention::is_task_wide(t), lane);
        auto s = attention::nothing<T>();
        for (int warp = 0; warp < attention::WARPS && (int64_t)warp * attention::CHUNK < t.rows; warp++)
            attention::join(s, handed[warp]);
        attention::store(t, s, col0, lane);
    }
}

template <class T> static bool is_part_same(int type)
{
    static const int64_t some_cols[] = {1, 3, 32, 33, 64, 100, 128, 130}, some_rows[] = {0, 1, 8, 31, 32, 33, 64, 256, 300};
    int64_t cols = some_cols[roll(8)], rows = roll(3) ? some_rows[roll(9)] : (int64_t)roll(600);
    size_t shift = roll(2); /* not aligned */
    T scale = (T)(1 + roll(8));
    auto q = some<T>(cols + 1), k = some<T>(rows * cols + 1), v = some<T>(rows * cols);
    std::vector<T> of_cpu((size_t)cols + 3, 7), of_warp = of_cpu, of_block = of_cpu;
    const T *pq = q.data() + shift, *pk = k.data() + shift, *pv = v.data();
    T *to = of_cpu.data();
    void *args[] = {&rows, &cols, &pq, &pk, &pv, &to, &scale};
    tgi_builtin_attention_part.cpu[type](args, nullptr);
    lanes::run([&](int lane) {
        attention::part_by_warp(attention::task<T>{rows, cols, pq, pk, pv, of_warp.data(), scale}, lane);
        by_block(attention::task<T>{rows, cols, pq, pk, pv, of_block.data(), scale}, lane);
    });
    if (memcmp(of_warp.data(), of_block.data(), of_warp.size() * sizeof(T)) != 0) {
        printf("%lld x %lld: a warp and a block differ\n", (long long)rows, (long long)cols);
        return false;
    }
    return is_close("part", of_cpu, of_warp);
}

template <class T> static bool is_join_same(int type)
{
    int64_t cols = 1 + roll(roll(2) ? 20 : 300), parts = 1 + roll(roll(2) ? 8 : 80);
    auto part = some<T>(parts * (cols + 2));
    for (int64_t p = 0; p < parts; p++) {
        part[(size_t)(p * (cols + 2) + cols)] *= 4;
        part[(size_t)(p * (cols + 2) + cols + 1)] += 2;
    }
    if (roll(2)) /* an empty one */
        for (int64_t i = 0; i < cols + 2; i++)
            part[(size_t)i] = i == cols && parts > 1 ? -(T)INFINITY : i == cols ? 1 : parts > 1 ? 0 : 1;
    std::vector<T> of_cpu((size_t)cols + 1, 7), of_warp = of_cpu;
    const T *from = part.data();
    T *to = of_cpu.data();
    void *args[] = {&parts, &cols, &from, &to};
    tgi_builtin_attention_join.cpu[type](args, nullptr);
    lanes::run([&](int lane) {
        for (int64_t col0 = 0; col0 < cols; col0 += attention::COLS)
            attention::join_parts(parts, cols, part.data(), of_warp.data(), col0, lane);
    });
    return is_close("join", of_cpu, of_warp);
}

static bool is_same(uint64_t seed)
{
    dice = seed * 0x9e3779b97f4a7c15u;
    roll(2);
    bool is_good = seed % 3 == 0   ? is_join_same<float>(TG_F32)
                   : seed % 3 == 1 ? is_part_same<float>(TG_F32)
                   : roll(2)       ? is_part_same<double>(TG_F64)
                                   : is_join_same<double>(TG_F64);
    if (!is_good)
        printf("seed %llu\n", (unsigned long long)seed);
    return is_good;
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], nullptr, 0) : 60, seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1, n_wrong = 0;
    for (uint64_t i = seed; i < seed + n; i++)
        n_wrong += !is_same(i);
    printf("%llu of %llu are the same\n", (unsigned long long)(n - n_wrong), (unsigned long long)n);
    return n_wrong != 0;
}
