// Device code of a warp on a CPU: each lane a thread, and what lanes exchange through a table with a barrier on either side.
#ifndef TEST_WARP_LANES_HPP
#define TEST_WARP_LANES_HPP

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include <cmath>

#define __device__
#define __forceinline__ inline
struct uint4 {
    uint32_t x, y, z, w;
};
using std::fma;

namespace lanes {
constexpr int N = 32;
static pthread_barrier_t all;
static uint64_t table[N];
static thread_local int me;

inline void meet() { pthread_barrier_wait(&all); }
template <class T> T exchange(T v, int from)
{
    uint64_t word = 0;
    memcpy(&word, &v, sizeof v);
    table[me] = word;
    meet();
    word = table[from % N];
    meet();
    memcpy(&v, &word, sizeof v);
    return v;
}

template <class F> struct start {
    F *body;
    int lane;
    static void *go(void *p)
    {
        start *s = (start *)p;
        me = s->lane;
        (*s->body)(me);
        return nullptr;
    }
};
/* body(lane) in all of them, to the end. */
template <class F> void run(F body)
{
    pthread_t threads[N];
    start<F> starts[N];
    pthread_barrier_init(&all, nullptr, N);
    for (int i = 0; i < N; i++) {
        starts[i] = {&body, i};
        if (pthread_create(&threads[i], nullptr, start<F>::go, &starts[i]))
            __builtin_abort();
    }
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], nullptr);
    pthread_barrier_destroy(&all);
}
} // namespace lanes

template <class T> T __shfl_sync(unsigned, T v, int from) { return lanes::exchange(v, from); }
template <class T> T __shfl_xor_sync(unsigned, T v, int bits) { return lanes::exchange(v, lanes::me ^ bits); }
inline unsigned __ballot_sync(unsigned, int is_set)
{
    unsigned bits = 0;
    lanes::table[lanes::me] = is_set != 0;
    lanes::meet();
    for (int i = 0; i < lanes::N; i++)
        bits |= (unsigned)lanes::table[i] << i;
    lanes::meet();
    return bits;
}
inline int __any_sync(unsigned mask, int is_set) { return __ballot_sync(mask, is_set) != 0; }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline void __syncwarp() { lanes::meet(); }

#endif
