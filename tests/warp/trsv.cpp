// The warp of trsv_rows (kernels/trsv.cuh) against its CPU variant: random tasks, a third of them damaged, have the same bits or are
// refused by both.
//
//     trsv ROUNDS SEED
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "tests/warp/dice.hpp"
#include "tests/warp/lanes.hpp"

#include "kernels/trsv.cuh"

extern "C" {
#include "graph/builtin.h"
extern const struct tgi_builtin tgi_builtin_trsv_rows;
/* Nobody asks: contexts are NULL. */
void tg_context_explain(const struct tg_context *, const char *, ...) {}
}

template <class T> struct task {
    int64_t m, at, first, n, width, row0 = 2, solve;
    std::vector<T> vals, b, x, in[trsv::N_INPUTS];
    std::vector<int64_t> start;
    std::vector<int32_t> cols;
};

template <class T> static T some() { return (T)roll(2001) / 1000 - 1; }

template <class T> static void add(task<T> &t, uint32_t tile, int64_t place, T value)
{
    t.cols.push_back((int32_t)(tile << 16 | (uint32_t)place));
    t.vals.push_back(value);
}

template <class T> static task<T> draw()
{
    task<T> t;
    t.width = 1 + roll(100);
    t.m = 1 + roll((uint32_t)t.width);
    t.at = roll(4);
    t.first = roll(5);
    t.solve = roll(4) != 0;
    uint32_t n_in = roll(trsv::N_INPUTS + 1);
    for (uint32_t k = 0; k < n_in; k++)
        for (int64_t i = 0; i < t.width && k % 5 != 3; i++)
            t.in[k].push_back(some<T>());
    t.start.resize(2 * (size_t)t.at);
    t.cols.resize((size_t)t.first);
    t.vals.resize((size_t)t.first);
    for (int64_t r = 0; r < t.m; r++) {
        t.start.push_back((int64_t)t.cols.size());
        for (uint32_t e = roll(30); e > 0 && n_in; e--) {
            uint32_t k = roll(n_in);
            if (!t.in[k].empty())
                add(t, k + 1, roll((uint32_t)t.width), some<T>());
        }
        t.start.push_back((int64_t)t.cols.size());
        for (int64_t j = 0; t.solve && j < r; j++)
            if (roll((uint32_t)(r / 4) + 2) == 0)
                add(t, 0, j, some<T>() / 4);
        if (t.solve)
            add(t, 0, r, 1 + (T)roll(1000) / 999);
    }
    t.start.push_back((int64_t)t.cols.size());
    t.n = (int64_t)t.cols.size() - t.first;
    for (int64_t i = 0; i < t.row0 + t.m; i++)
        t.b.push_back(some<T>());
    t.x.assign((size_t)t.width, 7);
    return t;
}

template <class T> static void damage(task<T> &t)
{
    size_t e = (size_t)t.first + roll((uint32_t)t.n);
    switch (roll(4)) {
    case 0: t.cols[e] = (int32_t)roll(UINT32_MAX); break;
    case 1: t.cols[e] ^= 1 << roll(20); break;
    case 2: t.vals[e] = 0; break;
    case 3: t.start[(size_t)(2 * t.at) + roll((uint32_t)(2 * t.m) + 1)] = (int64_t)roll(400) - 50; break;
    }
}

/* Both ways; 0: the same, 1: refused by both, else what differs is told. */
template <class T> static int compare(task<T> &t, enum tg_dtype type, uint64_t seed)
{
    std::vector<T> of_cpu = t.x, of_warp = t.x;
    uint64_t words[trsv::N_WORDS] = {(uint64_t)t.m, (uint64_t)t.at, (uint64_t)t.first, (uint64_t)t.n};
    const void *tiles[] = {t.vals.data(), t.start.data(), t.cols.data(), t.b.data(), of_cpu.data()};
    void *args[trsv::N_WORDS];
    for (int i = 0; i < 5; i++)
        words[4 + i] = (uint64_t)(uintptr_t)tiles[i];
    words[9] = (uint64_t)t.width, words[10] = (uint64_t)t.row0, words[11] = (uint64_t)t.solve;
    for (int k = 0; k < trsv::N_INPUTS; k++)
        words[trsv::INPUT_ARG + k] = t.in[k].empty() ? 0 : (uint64_t)(uintptr_t)t.in[k].data();
    for (int i = 0; i < trsv::N_WORDS; i++)
        args[i] = &words[i];
    int rc = tgi_builtin_trsv_rows.cpu[type](args, nullptr);
    trsv::fault faults[lanes::N];
    words[8] = (uint64_t)(uintptr_t)of_warp.data();
    lanes::run([&](int lane) { faults[lane] = trsv::solve<T>(words, lane); });
    const char *what = nullptr;
    for (int i = 1; i < lanes::N; i++)
        if (faults[i].row != faults[0].row)
            what = "lanes do not agree";
    if ((rc != 0) != (faults[0].row != 0))
        what = rc ? "the warp takes what the CPU refuses" : "the warp refuses what the CPU takes";
    else if (rc == 0 && memcmp(of_cpu.data(), of_warp.data(), of_cpu.size() * sizeof(T)) != 0)
        what = "other bits";
    if (what)
        printf("seed %llu, %s: %s\n", (unsigned long long)seed, type == TG_F32 ? "f32" : "f64", what);
    return what ? 2 : rc != 0;
}

template <class T> static int round_of(enum tg_dtype type, uint64_t seed)
{
    dice = seed * 0x9e3779b97f4a7c15u;
    roll(2);
    task<T> t = draw<T>();
    if (seed % 3 == 0 && t.n > 0)
        damage(t);
    return compare(t, type, seed);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], nullptr, 0) : 60, seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1;
    uint64_t counts[3] = {0};
    for (uint64_t i = seed; i < seed + n; i++)
        counts[i % 2 ? round_of<double>(TG_F64, i) : round_of<float>(TG_F32, i)]++;
    printf("%llu the same, %llu refused by both, %llu not\n", (unsigned long long)counts[0], (unsigned long long)counts[1],
           (unsigned long long)counts[2]);
    return counts[2] != 0 || (n >= 60 && (counts[0] < n / 2 || counts[1] < n / 10));
}
