/* Users' functions as bodies of resident tasks: a call with the words of a task, each taken as the type that the function declares.
 *
 * What a function has to be stands in graph/tgraph_resident.h. */
#ifndef TGI_GPU_RESIDENT_USER_CUH
#define TGI_GPU_RESIDENT_USER_CUH

#include <stdint.h>
#include <string.h>

#ifdef TGI_SPAWNS /* of kernels whose bodies can make tasks: 0, or there was no room.  All lanes; of each that wants one */
static __device__ __forceinline__ uint32_t make_task(bool wants, uint32_t body, const uint64_t *words, uint32_t n);
#endif

namespace user {
template <class T> struct word {
    static_assert(sizeof(T) <= 8, "an argument of a resident function has at most 8 bytes");
    static __device__ __forceinline__ T get(uint64_t w)
    {
        T v;
        memcpy(&v, &w, sizeof v); /* scalars in the low bytes */
        return v;
    }
};
template <class T> struct word<T *> {
    static __device__ __forceinline__ T *get(uint64_t w) { return (T *)w; }
};

/* As get() reads it. */
template <class T> __device__ __forceinline__ uint64_t word_of(T v)
{
    uint64_t w = 0;
    memcpy(&w, &v, sizeof v);
    return w;
}

template <int... I> struct numbers {};
template <int N, int... I> struct up_to : up_to<N - 1, N - 1, I...> {};
template <int... I> struct up_to<0, I...> {
    typedef numbers<I...> type;
};

template <class F> struct shape;
template <class R, class... P> struct shape<R (*)(P...)> {
    /* One word in `stride` is its own. */
    template <R (*F)(P...), int... I> static __device__ __forceinline__ R go(const uint64_t *a, uint32_t stride, numbers<I...>)
    {
        return F(word<P>::get(a[I * stride])...);
    }
    typedef R result;
    typedef typename up_to<(int)sizeof...(P)>::type all;
    template <int... BYTES> static constexpr bool takes()
    {
        static_assert(sizeof...(P) == sizeof...(BYTES), "it takes another number of arguments than the graph declares");
        if constexpr (sizeof...(P) == sizeof...(BYTES))
            static_assert(((sizeof(P) == BYTES) && ... && true), "one of its arguments has another size than the graph declares");
        return true;
    }
    struct words {
        uint64_t at[sizeof...(P) + 1];
    };
    template <class... A> static __device__ __forceinline__ words words_of(A... a)
    {
        static_assert(sizeof...(P) == sizeof...(A), "tg_spawn() needs as many arguments as the function takes");
        if constexpr (sizeof...(P) == sizeof...(A))
            return words{{word_of<P>(a)..., 0}};
        else
            return words();
    }
    static constexpr uint32_t n = sizeof...(P);
};

template <class R> struct code_of {
    static_assert(sizeof(R) == 0, "a resident function returns unsigned, or nothing");
};
template <> struct code_of<uint32_t> {
    template <auto F> static __device__ __forceinline__ uint32_t call(const uint64_t *a, uint32_t stride)
    {
        typedef shape<decltype(F)> s;
        return s::template go<F>(a, stride, typename s::all());
    }
    static __device__ __forceinline__ uint32_t failing(uint32_t code) { return __ballot_sync(~0u, code != 0); }
};
template <> struct code_of<void> {
    template <auto F> static __device__ __forceinline__ uint32_t call(const uint64_t *a, uint32_t stride)
    {
        typedef shape<decltype(F)> s;
        s::template go<F>(a, stride, typename s::all());
        return 0;
    }
    static __device__ __forceinline__ uint32_t failing(uint32_t) { return 0; }
};

/* Its code in all lanes, of the first lane that has one where they differ. */
template <auto F> __device__ __forceinline__ uint32_t call(const uint64_t *a)
{
    typedef code_of<typename shape<decltype(F)>::result> as;
    uint32_t code = as::template call<F>(a, 1), failing = as::failing(code);
    return failing ? __shfl_sync(~0u, code, __ffs((int)failing) - 1) : 0;
}
/* The same of a call in each of the first n lanes, with words n apart; *failed_p: that lane, where there is one. */
template <auto F> __device__ __forceinline__ uint32_t call_each(const uint64_t *a, uint32_t n, uint32_t *failed_p)
{
    typedef code_of<typename shape<decltype(F)>::result> as;
    uint32_t lane = threadIdx.x & 31u, code = lane < n ? as::template call<F>(a + lane, n) : 0;
    __syncwarp();
    uint32_t failing = as::failing(code);
    if (!failing)
        return 0;
    *failed_p = (uint32_t)__ffs((int)failing) - 1;
    return __shfl_sync(~0u, code, (int)*failed_p);
}
/* Whether it takes arguments of these sizes; it does not compile otherwise. */
template <auto F, int... BYTES> constexpr bool takes()
{
    return shape<decltype(F)>::template takes<BYTES...>();
}

/* A function's number in the kernel is told behind its source, as an overload for its tag. */
template <auto F> struct tag {};
template <auto F> __device__ constexpr uint32_t number(tag<F>)
{
    static_assert(sizeof(F) == 0, "a function that is spawned is that of a kernel whose tasks are in the same resident program");
    return 0;
}

template <auto F, class... A> __device__ __forceinline__ uint32_t spawn_each(bool wants, A... a)
{
    auto words = shape<decltype(F)>::words_of(a...);
#ifdef TGI_SPAWNS
    return make_task(wants, number(tag<F>()), words.at, shape<decltype(F)>::n);
#else
    (void)words;
    return wants;
#endif
}
template <auto F, class... A> __device__ __forceinline__ uint32_t spawn(A... a)
{
#ifdef TG_LANES
    return spawn_each<F>(true, a...);
#else
    return __shfl_sync(~0u, spawn_each<F>((threadIdx.x & 31u) == 0, a...), 0);
#endif
}
} // namespace user

#endif
