// Takes the place of gpu/resident/run.cuh in what the stand-in NVRTC compiles: the stand-in driver executes the worker's text
// itself, with a thread for each worker (resident.c), and finds users' functions as entries of the object.
template <auto F> struct standin_resident;
template <class... P, unsigned (*F)(P...)> struct standin_resident<F> {
    template <int... I> static unsigned unpack(void **args, standin_numbers<I...>) { return F(*(P *)args[I]...); }
    static int call(void **args) { return (int)unpack(args, standin_numbers<__integer_pack(sizeof...(P))...>()); }
    static standin_code_entry entry(const char *name)
    {
        static constexpr standin_param params[sizeof...(P) + 1] = {{sizeof(P), standin_kind<P>::value}..., {0, 0}};
        return {name, (const void *)F, call, sizeof...(P), params};
    }
};
template <class... P, void (*F)(P...)> struct standin_resident<F> {
    static standin_code_entry entry(const char *name) { return standin_kernel<F>::entry(name); }
};
// Tasks that functions make go to the driver, which knows the worker that calls.
#ifdef TGI_SPAWNS
extern "C" {
unsigned (*standin_spawn)(int wants, unsigned body, const unsigned long *words, unsigned n);
}
static uint32_t make_task(bool wants, uint32_t body, const uint64_t *words, uint32_t n) { return standin_spawn(wants, body, words, n); }
#endif
#define STANDIN_BODY(number, function) standin_body number function;
TGI_RUN_USERS(STANDIN_BODY)
#ifdef TGI_RUN_THREADS /* called for one of a batch after the other */
TGI_RUN_THREADS(STANDIN_BODY)
#endif
