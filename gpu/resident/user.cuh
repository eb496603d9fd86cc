/* Users' functions as bodies of resident tasks: a call with the words of a task, each taken as the type that the function declares.
 *
 * What a function has to be stands in graph/tgraph_resident.h. */
#ifndef TGI_GPU_RESIDENT_USER_CUH
#define TGI_GPU_RESIDENT_USER_CUH

#include <stdint.h>
#include <string.h>

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

template <int... I> struct numbers {};
template <int N, int... I> struct up_to : up_to<N - 1, N - 1, I...> {};
template <int... I> struct up_to<0, I...> {
    typedef numbers<I...> type;
};

template <class F> struct shape;
template <class R, class... P> struct shape<R (*)(P...)> {
    template <R (*F)(P...), int... I> static __device__ __forceinline__ R go(const uint64_t *a, numbers<I...>)
    {
        return F(word<P>::get(a[I])...);
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
};

template <class R> struct code_of {
    static_assert(sizeof(R) == 0, "a resident function returns unsigned, or nothing");
};
template <> struct code_of<uint32_t> {
    template <auto F> static __device__ __forceinline__ uint32_t call(const uint64_t *a)
    {
        typedef shape<decltype(F)> s;
        return s::template go<F>(a, typename s::all());
    }
};
template <> struct code_of<void> {
    template <auto F> static __device__ __forceinline__ uint32_t call(const uint64_t *a)
    {
        typedef shape<decltype(F)> s;
        s::template go<F>(a, typename s::all());
        return 0;
    }
};

template <auto F> __device__ __forceinline__ uint32_t call(const uint64_t *a)
{
    return code_of<typename shape<decltype(F)>::result>::template call<F>(a);
}
/* Whether it takes arguments of these sizes; it does not compile otherwise. */
template <auto F, int... BYTES> constexpr bool takes()
{
    return shape<decltype(F)>::template takes<BYTES...>();
}
} // namespace user

#endif
