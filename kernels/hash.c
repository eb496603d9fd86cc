/* hash, hash_inout, hash_add, hash_commute: 64-bit mixes that prove the order of tasks.
 *
 * Word i of the result depends on the task's id, on i and on word i of every input, so a task that
 * ran too early, too late or twice changes everything downstream of it.  hash_add and hash_commute
 * add their mix to an accumulator modulo 2^64, which is the same in whatever order they run. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define N_INPUTS 8

/* The finaliser of SplitMix64: a bijection in which every input bit flips half of the output. */
static inline uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Which inputs are given, in order; absent ones leave no trace except through the numbering. */
struct inputs {
    uint32_t n;
    uint64_t salt[N_INPUTS];
    const uint64_t *at[N_INPUTS];
};
static inline void gather(struct inputs *in, void **args, int first)
{
    in->n = 0;
    for (int k = 0; k < N_INPUTS; k++) {
        const uint64_t *at = TGI_TILE(const uint64_t, first + k);
        if (at) {
            in->salt[in->n] = (uint64_t)(k + 1) << 56;
            in->at[in->n++] = at;
        }
    }
}
static inline uint64_t word(const struct inputs *in, uint64_t id, int64_t i)
{
    uint64_t h = mix(mix(id) ^ (uint64_t)i);
    for (uint32_t k = 0; k < in->n; k++)
        h = mix(h ^ mix(in->at[k][i] + in->salt[k]));
    return h;
}

TGI_CPU_KERNEL(hash)
{
    uint64_t id = (uint64_t)TGI_INT(0);
    int64_t n = TGI_INT(1);
    uint64_t *out = TGI_TILE(uint64_t, 2);
    struct inputs in;
    gather(&in, args, 3);
    for (int64_t i = 0; i < n; i++)
        out[i] = word(&in, id, i);
    return 0;
}

TGI_CPU_KERNEL(hash_inout)
{
    uint64_t id = (uint64_t)TGI_INT(0);
    int64_t n = TGI_INT(1);
    uint64_t *out = TGI_TILE(uint64_t, 2);
    struct inputs in;
    gather(&in, args, 3);
    for (int64_t i = 0; i < n; i++)
        out[i] = mix(out[i] ^ word(&in, id, i));
    return 0;
}

TGI_CPU_KERNEL(hash_accumulate)
{
    uint64_t id = (uint64_t)TGI_INT(0);
    int64_t n = TGI_INT(1);
    uint64_t *acc = TGI_TILE(uint64_t, 2);
    struct inputs in;
    gather(&in, args, 3);
    for (int64_t i = 0; i < n; i++)
        acc[i] += word(&in, id, i);
    return 0;
}

#define INPUT(name_) TGI_P_TILE_OR_NULL(TG_U64, name_, TG_IN, "n")
#define INPUTS                                                                                        \
    INPUT("in0"), INPUT("in1"), INPUT("in2"), INPUT("in3"), INPUT("in4"), INPUT("in5"), INPUT("in6"), \
        INPUT("in7")

static const struct tgi_builtin_param hash_params[] = {
    TGI_P_INT("id"),
    TGI_P_INT("n"),
    TGI_P_TILE_OF(TG_U64, "out", TG_OUT, "n"),
    INPUTS,
};
const struct tgi_builtin tgi_builtin_hash = {
    .name = "hash",
    .brief = "out[i] = a 64-bit mix of id, i and word i of every input",
    TGI_PARAMS(hash_params),
    .bytes = "8*n",
    .cpu = {[TGI_DTYPE_T] = hash},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_hash",
        .grid = TGI_GRID("ceildiv(n,512)"),
        .block = "256",
    },
};

static const struct tgi_builtin_param hash_inout_params[] = {
    TGI_P_INT("id"),
    TGI_P_INT("n"),
    TGI_P_TILE_OF(TG_U64, "out", TG_INOUT, "n"),
    INPUTS,
};
const struct tgi_builtin tgi_builtin_hash_inout = {
    .name = "hash_inout",
    .brief = "like hash, and mixes in what out[i] was before",
    TGI_PARAMS(hash_inout_params),
    .bytes = "16*n",
    .cpu = {[TGI_DTYPE_T] = hash_inout},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_hash_inout",
        .grid = TGI_GRID("ceildiv(n,512)"),
        .block = "256",
    },
};

static const struct tgi_builtin_param hash_add_params[] = {
    TGI_P_INT("id"),
    TGI_P_INT("n"),
    TGI_P_REDUCE(TG_U64, "acc", TG_SUM, "n"),
    INPUTS,
};
const struct tgi_builtin tgi_builtin_hash_add = {
    .name = "hash_add",
    .brief = "acc[i] += the mix that hash computes; tasks may run at once (reduce)",
    TGI_PARAMS(hash_add_params),
    .bytes = "16*n",
    .cpu = {[TGI_DTYPE_T] = hash_accumulate},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_hash_add",
        .grid = TGI_GRID("ceildiv(n,512)"),
        .block = "256",
    },
};

static const struct tgi_builtin_param hash_commute_params[] = {
    TGI_P_INT("id"),
    TGI_P_INT("n"),
    TGI_P_TILE_OF(TG_U64, "acc", TG_COMMUTE, "n"),
    INPUTS,
};
const struct tgi_builtin tgi_builtin_hash_commute = {
    .name = "hash_commute",
    .brief = "acc[i] += the mix that hash computes; tasks run in any order, one at a time (commute)",
    TGI_PARAMS(hash_commute_params),
    .bytes = "16*n",
    .cpu = {[TGI_DTYPE_T] = hash_accumulate},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_hash_commute",
        .grid = TGI_GRID("ceildiv(n,512)"),
        .block = "256",
    },
};
