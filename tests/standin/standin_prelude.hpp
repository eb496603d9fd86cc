// What NVRTC declares without being asked, for a CPU: the stand-in compiles it before the user's source.  No
// header of the system is included, as with NVRTC.  __global__ and __shared__ are left for the stand-in to
// rewrite.
typedef decltype(sizeof 0) size_t;
typedef decltype((char *)0 - (char *)0) ptrdiff_t;
typedef long clock_t;

#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __align__(n)    __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __cluster_dims__(...)

// ---- Threads ----

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct standin_thread {
    uint3 thread, block, block_dim, grid_dim;
    unsigned lane, warp;
};
extern "C" {
standin_thread *standin_self;
// Waits for the block (is_warp 0) or the warp.
void (*standin_barrier)(int is_warp);
// The 32 values of the warp's threads, and which of them still run.
unsigned long long *(*standin_exchange)(unsigned long long value, unsigned *alive_p);
alignas(16) char standin_shared[227 << 10];
int printf(const char *, ...);
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
}
#define threadIdx (standin_self->thread)
#define blockIdx  (standin_self->block)
#define blockDim  (standin_self->block_dim)
#define gridDim   (standin_self->grid_dim)
#define warpSize  32

struct standin_dynamic_shared {
    template <class T> operator T *() const { return (T *)standin_shared; }
};
inline void __syncthreads() { standin_barrier(0); }
inline void __syncwarp(unsigned = 0xffffffffu) { standin_barrier(1); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
inline long long clock64() { return __builtin_ia32_rdtsc(); }
inline clock_t clock() { return clock64(); }

template <class T> inline T standin_from(unsigned lane, T value, int width)
{
    static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
    unsigned long long word = 0;
    unsigned alive, first = standin_self->lane & ~(unsigned)(width - 1);
    __builtin_memcpy(&word, &value, sizeof value);
    unsigned long long *all = standin_exchange(word, &alive);
    __builtin_memcpy(&value, &all[first + (lane & (unsigned)(width - 1))], sizeof value);
    standin_barrier(1); // nobody may overwrite what another still reads
    return value;
}
template <class T> inline T __shfl_sync(unsigned, T v, int lane, int width = 32)
{
    return standin_from((unsigned)lane, v, width);
}
template <class T> inline T __shfl_xor_sync(unsigned, T v, int mask, int width = 32)
{
    unsigned at = (standin_self->lane & (unsigned)(width - 1)) ^ (unsigned)mask;
    return standin_from(at < (unsigned)width ? at : standin_self->lane, v, width);
}
template <class T> inline T __shfl_down_sync(unsigned, T v, unsigned by, int width = 32)
{
    unsigned own = standin_self->lane & (unsigned)(width - 1);
    return standin_from(own + by < (unsigned)width ? own + by : own, v, width);
}
template <class T> inline T __shfl_up_sync(unsigned, T v, unsigned by, int width = 32)
{
    unsigned own = standin_self->lane & (unsigned)(width - 1);
    return standin_from(own >= by ? own - by : own, v, width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    unsigned alive, bits = 0;
    unsigned long long *all = standin_exchange(predicate != 0, &alive);
    for (int i = 0; i < 32; i++)
        bits |= (unsigned)(all[i] & (alive >> i & 1)) << i;
    standin_barrier(1);
    return bits & mask;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

// ---- Atomics ----

template <class T> struct standin_same { typedef T type; };
// Resident functions are called side by side.
#define STANDIN_ATOMIC(name, result)                                                          \
    template <class T> inline T name(T *at, typename standin_same<T>::type v)                 \
    {                                                                                         \
        T old, to;                                                                            \
        __atomic_load(at, &old, __ATOMIC_RELAXED);                                            \
        do                                                                                    \
            to = (result);                                                                    \
        while (!__atomic_compare_exchange(at, &old, &to, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)); \
        return old;                                                                           \
    }
STANDIN_ATOMIC(atomicAdd, old + v)
STANDIN_ATOMIC(atomicSub, old - v)
STANDIN_ATOMIC(atomicExch, v)
STANDIN_ATOMIC(atomicMin, old < v ? old : v)
STANDIN_ATOMIC(atomicMax, old > v ? old : v)
STANDIN_ATOMIC(atomicAnd, old & v)
STANDIN_ATOMIC(atomicOr, old | v)
STANDIN_ATOMIC(atomicXor, old ^ v)
STANDIN_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
STANDIN_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
template <class T>
inline T atomicCAS(T *at, typename standin_same<T>::type is, typename standin_same<T>::type to)
{
    T old = is, into = to;
    __atomic_compare_exchange(at, &old, &into, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return old;
}

// ---- Vectors ----

#define STANDIN_VECTORS(T, name, align)                                                       \
    struct name##1 { T x; };                                                                  \
    struct alignas(2 * align) name##2 { T x, y; };                                            \
    struct name##3 { T x, y, z; };                                                            \
    struct alignas(4 * align <= 16 ? 4 * align : 16) name##4 { T x, y, z, w; };               \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                        \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
STANDIN_VECTORS(float, float, 4)
STANDIN_VECTORS(double, double, 8)
STANDIN_VECTORS(int, int, 4)
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ---- Arithmetic ----

#define STANDIN_UNARY(name)                                                                   \
    extern "C" double name(double);                                                           \
    extern "C" float name##f(float);                                                          \
    inline float name(float x) { return name##f(x); }
#define STANDIN_BINARY(name)                                                                  \
    extern "C" double name(double, double);                                                   \
    extern "C" float name##f(float, float);                                                   \
    inline float name(float x, float y) { return name##f(x, y); }
STANDIN_UNARY(sqrt) STANDIN_UNARY(cbrt) STANDIN_UNARY(exp) STANDIN_UNARY(exp2) STANDIN_UNARY(expm1)
STANDIN_UNARY(log) STANDIN_UNARY(log2) STANDIN_UNARY(log10) STANDIN_UNARY(log1p) STANDIN_UNARY(sin)
STANDIN_UNARY(cos) STANDIN_UNARY(tan) STANDIN_UNARY(asin) STANDIN_UNARY(acos) STANDIN_UNARY(atan)
STANDIN_UNARY(sinh) STANDIN_UNARY(cosh) STANDIN_UNARY(tanh) STANDIN_UNARY(erf) STANDIN_UNARY(erfc)
STANDIN_UNARY(tgamma) STANDIN_UNARY(lgamma) STANDIN_UNARY(floor) STANDIN_UNARY(ceil) STANDIN_UNARY(round)
STANDIN_UNARY(rint) STANDIN_UNARY(trunc) STANDIN_UNARY(fabs)
STANDIN_BINARY(pow) STANDIN_BINARY(atan2) STANDIN_BINARY(fmod) STANDIN_BINARY(hypot) STANDIN_BINARY(fmin)
STANDIN_BINARY(fmax) STANDIN_BINARY(copysign)
extern "C" double fma(double, double, double);
extern "C" float fmaf(float, float, float);
inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline int abs(int x) { return x < 0 ? -x : x; }
inline long long llabs(long long x) { return x < 0 ? -x : x; }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }
template <class T> inline int isnan(T x) { return x != x; }
template <class T> inline int isinf(T x) { return __builtin_isinf(x) != 0; }
template <class T> inline int isfinite(T x) { return __builtin_isfinite(x); }
template <class A, class B> inline auto min(A a, B b) -> decltype(a + b) { return b < a ? b : a; }
template <class A, class B> inline auto max(A a, B b) -> decltype(a + b) { return a < b ? b : a; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
template <class T> inline T __ldg(const T *p) { return *p; }
template <class To, class From> inline To standin_bits(From from)
{
    To to;
    static_assert(sizeof to == sizeof from, "");
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return standin_bits<int>(x); }
inline float __int_as_float(int x) { return standin_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return standin_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return standin_bits<float>(x); }
inline long long __double_as_longlong(double x) { return standin_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return standin_bits<double>(x); }

// ---- The table of kernels ----

enum { STANDIN_VALUE, STANDIN_IN, STANDIN_OUT, STANDIN_INOUT };
struct standin_param {
    size_t size_bytes;
    int kind;
};
struct standin_code_entry {
    const char *expression;
    const void *address;
    int (*call)(void **args); // what a resident function returns; 0 of a kernel
    unsigned n_params;
    const standin_param *params;
};
template <class T> struct standin_kind { static constexpr int value = STANDIN_VALUE; };
template <class T> struct standin_kind<T *> { static constexpr int value = STANDIN_INOUT; };
template <class T> struct standin_kind<const T *> { static constexpr int value = STANDIN_IN; };
template <int...> struct standin_numbers {};
template <auto F> struct standin_kernel;
template <class... P, void (*F)(P...)> struct standin_kernel<F> {
    static constexpr standin_param params[sizeof...(P) + 1] = {{sizeof(P), standin_kind<P>::value}..., {0, 0}};
    template <int... I> static void unpack(void **args, standin_numbers<I...>) { F(*(P *)args[I]...); }
    static int call(void **args) { return unpack(args, standin_numbers<__integer_pack(sizeof...(P))...>()), 0; }
    static standin_code_entry entry(const char *expression)
    {
        return {expression, (const void *)F, call, sizeof...(P), params};
    }
};
struct standin_prelude_end;
