/* What the tests of kernels share: calling a kernel by the names of its parameters, as a graph does,
 * and tiles with a guard behind them. */
#ifndef TESTS_KERNEL_CALL_H
#define TESTS_KERNEL_CALL_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "graph/builtin.h"

/* ---- Calling a kernel by parameter names --------------------------------------------------*/

struct call {
    const struct tgi_builtin *builtin;
    enum tg_dtype type;
    uint64_t words[TG_MAX_PARAMS];
    bool is_given[TG_MAX_PARAMS];
};

static inline struct call call_of(const char *name, enum tg_dtype type)
{
    struct call c = {tgi_builtin_find(name), type, {0}, {false}};
    if (!c.builtin)
        fail_msg("no kernel %s", name);
    return c;
}

static inline uint32_t param_index(const struct tgi_builtin *b, const char *name)
{
    for (uint32_t i = 0; i < b->n_params; i++)
        if (strcmp(b->params[i].name, name) == 0)
            return i;
    fail_msg("%s has no parameter %s", b->name, name);
    return 0;
}

static inline enum tg_dtype param_type(const struct call *c, uint32_t i)
{
    int type = c->builtin->params[i].dtype;
    return type == TGI_DTYPE_T ? c->type : (enum tg_dtype)type;
}

static inline uint64_t word_of(enum tg_dtype type, double value)
{
    uint64_t word = 0;
    float f = (float)value;
    switch (type) {
    case TG_F32:
    case TG_C64:
        memcpy(&word, &f, sizeof f);
        break;
    case TG_F64:
    case TG_C128:
        memcpy(&word, &value, sizeof value);
        break;
    default:
        word = (uint64_t)(int64_t)value;
        break;
    }
    return word;
}

static inline void set(struct call *c, const char *name, double value)
{
    uint32_t i = param_index(c->builtin, name);
    assert_int_equal(c->builtin->params[i].access, TG_SCALAR);
    c->words[i] = word_of(param_type(c, i), value);
    c->is_given[i] = true;
}

static inline void give(struct call *c, const char *name, const void *tile)
{
    uint32_t i = param_index(c->builtin, name);
    assert_int_not_equal(c->builtin->params[i].access, TG_SCALAR);
    c->words[i] = (uint64_t)(uintptr_t)tile;
    c->is_given[i] = true;
}

static inline int run(struct call *c)
{
    const struct tgi_builtin *b = c->builtin;
    void *args[TG_MAX_PARAMS];
    for (uint32_t i = 0; i < b->n_params; i++) {
        const char *fallback = b->params[i].fallback;
        args[i] = &c->words[i];
        if (c->is_given[i])
            continue;
        if (!fallback)
            fail_msg("%s: argument %s is missing", b->name, b->params[i].name);
        char *end;
        double number = strtod(fallback, &end);
        if (strcmp(fallback, "null") == 0)
            c->words[i] = 0;
        else if (*end == 0)
            c->words[i] = word_of(param_type(c, i), number);
        else
            c->words[i] = c->words[param_index(b, fallback)];
    }
    tg_cpu_fn fn = b->cpu[TGI_DTYPE_T] ? b->cpu[TGI_DTYPE_T] : b->cpu[c->type];
    if (!fn)
        fail_msg("%s has no variant for %s", b->name, tg_dtype_name(c->type));
    return fn(args, NULL);
}

/* ---- Tiles --------------------------------------------------------------------------------*/

static uint64_t random_state;
static inline uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static inline double random_unit(void) { return (double)(random_bits() >> 11) * 0x1p-53; }

static inline double get(const void *x, int64_t i, enum tg_dtype type)
{
    switch (type) {
    case TG_F32:
        return (double)((const float *)x)[i];
    case TG_F64:
        return ((const double *)x)[i];
    case TG_I32:
        return ((const int32_t *)x)[i];
    case TG_U32:
        return ((const uint32_t *)x)[i];
    case TG_I64:
        return (double)((const int64_t *)x)[i];
    case TG_U64:
        return (double)((const uint64_t *)x)[i];
    default:
        fail_msg("get: type");
        return 0;
    }
}
static inline void put(void *x, int64_t i, enum tg_dtype type, double value)
{
    switch (type) {
    case TG_F32:
        ((float *)x)[i] = (float)value;
        break;
    case TG_F64:
        ((double *)x)[i] = value;
        break;
    case TG_I32:
        ((int32_t *)x)[i] = (int32_t)value;
        break;
    case TG_U32:
        ((uint32_t *)x)[i] = (uint32_t)value;
        break;
    case TG_I64:
        ((int64_t *)x)[i] = (int64_t)value;
        break;
    case TG_U64:
        ((uint64_t *)x)[i] = (uint64_t)value;
        break;
    default:
        fail_msg("put: type");
    }
}

static inline bool is_float(enum tg_dtype type) { return type == TG_F32 || type == TG_F64; }
static inline double epsilon(enum tg_dtype type) { return type == TG_F32 ? 1.2e-7 : type == TG_F64 ? 2.3e-16 : 0; }

/* A tile of exactly n elements, so that the address sanitizer sees a step too far, with a guard behind
 * it for the builds without: numbers in [-0.5, 0.5), or small integers. */
#define GUARD 64
static inline void *tile(int64_t n, enum tg_dtype type)
{
    size_t bytes = (size_t)n * tg_dtype_size(type);
    unsigned char *x = malloc(bytes + GUARD);
    assert_non_null(x);
    for (size_t i = 0; i < bytes; i++)
        x[i] = (unsigned char)random_bits();
    if (is_float(type))
        for (int64_t i = 0; i < n; i++)
            put(x, i, type, random_unit() - 0.5);
    if (type == TG_C64 || type == TG_C128)
        for (int64_t i = 0; i < 2 * n; i++)
            put(x, i, type == TG_C64 ? TG_F32 : TG_F64, random_unit() - 0.5);
    memset(x + bytes, 0xa5, GUARD);
    return x;
}
static inline void *copy_of(const void *x, int64_t n, enum tg_dtype type)
{
    size_t bytes = (size_t)n * tg_dtype_size(type) + GUARD;
    void *y = malloc(bytes);
    assert_non_null(y);
    return memcpy(y, x, bytes);
}
static inline void drop(void *x, int64_t n, enum tg_dtype type)
{
    const unsigned char *guard = (const unsigned char *)x + (size_t)n * tg_dtype_size(type);
    for (int i = 0; i < GUARD; i++)
        if (guard[i] != 0xa5)
            fail_msg("something wrote behind a tile of %lld elements", (long long)n);
    free(x);
}

static inline void assert_close(double got, double want, double tolerance, const char *what, int64_t i)
{
    if (isnan(got) && isnan(want))
        return;
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s at %lld: got %.17g, want %.17g, tolerance %g", what, (long long)i, got, want, tolerance);
}

static const int64_t sizes[] = {0,  1,  2,  3,   7,    15,   16,   17,   31,  32,
                                33, 63, 65, 100, 1000, 1023, 1024, 1025, 2500};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define EACH_SIZE(n)                                                          \
    for (size_t n##_at = 0, n##_go = 1; n##_at < N_SIZES && n##_go; n##_at++) \
        for (int64_t n = sizes[(n##_go = 0, n##_at)]; !n##_go; n##_go = 1)
static const enum tg_dtype floats[] = {TG_F32, TG_F64};
static const enum tg_dtype numbers[] = {TG_F32, TG_F64, TG_I32, TG_U32, TG_I64, TG_U64};
#define EACH_TYPE(t, list)                                                                           \
    for (size_t t##_at = 0, t##_go = 1; t##_at < sizeof(list) / sizeof(list[0]) && t##_go; t##_at++) \
        for (enum tg_dtype t = list[(t##_go = 0, t##_at)]; !t##_go; t##_go = 1)

/* The seed comes from the environment or the clock, and is printed. */
static inline void seed_random(void)
{
    const char *text = getenv("TGRAPH_TEST_SEED");
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("TGRAPH_TEST_SEED=%llu\n", (unsigned long long)seed);
    random_state = seed * 0x9e3779b97f4a7c15u | 1;
}

#endif
