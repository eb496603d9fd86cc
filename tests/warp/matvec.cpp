// Several rows of a matrix at once (kernels/matvec.cuh) have the bits that each has alone, and are what they should be.
//
//     matvec ROUNDS SEED
#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "tests/warp/dice.hpp"
#include "tests/warp/lanes.hpp"

#include "kernels/matvec.cuh"

template <class T> static bool is_same()
{
    constexpr int ROWS = 4, W = pack<T>::N;
    int64_t n = W * (roll(3) ? (int64_t)roll(400) : 32 * (int64_t)roll(12));
    alignas(16) static T a[ROWS * 2000], x[2000];
    T alone[ROWS], together[lanes::N][ROWS];
    bool is_good = true;
    for (int64_t i = 0; i < ROWS * n; i++)
        a[i] = (T)roll(2001) / 1000 - 1;
    for (int64_t i = 0; i < n; i++)
        x[i] = (T)roll(2001) / 1000 - 1;
    lanes::run([&](int lane) {
        for (int r = 0; r < ROWS; r++) {
            T total = matvec::row_sum(n, a + r * n, x, true, lane);
            if (lane == 0)
                alone[r] = total;
        }
        matvec::row_sums<ROWS>(n, a, x, lane, together[lane]);
    });
    for (int r = 0; r < ROWS; r++) {
        double want = 0;
        for (int64_t i = 0; i < n; i++)
            want += (double)a[r * n + i] * (double)x[i];
        for (int lane = 0; lane < lanes::N; lane++)
            is_good = is_good && memcmp(&alone[r], &together[lane][r], sizeof(T)) == 0;
        is_good = is_good && std::fabs(want - (double)alone[r]) < (sizeof(T) == 8 ? 1e-11 : 1e-2);
    }
    return is_good;
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], nullptr, 0) : 60, seed = argc > 2 ? strtoull(argv[2], nullptr, 0) : 1, n_wrong = 0;
    for (uint64_t i = seed; i < seed + n; i++) {
        dice = i * 0x9e3779b97f4a7c15u;
        roll(2);
        if (i % 2 ? is_same<float>() : is_same<double>())
            continue;
        printf("seed %llu differs\n", (unsigned long long)i);
        n_wrong++;
    }
    printf("%llu of %llu are the same\n", (unsigned long long)(n - n_wrong), (unsigned long long)n);
    return n_wrong != 0;
}
