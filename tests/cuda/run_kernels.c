/* Every built-in kernel on a GPU against its CPU variant, for every type and many sizes.
 *
 *     run_kernels [--quick] [--dry] [--no-bench] [NAME..]
 *
 * Tiles hold random numbers, or poison where they are only written, and lie between guards; after a launch all
 * of it is compared.  Each case runs on aligned tiles and on tiles that begin one element later.  Then one
 * large launch is timed.  --quick: small sizes only and nothing timed, for compute-sanitizer.  --dry: all but
 * the launches, without a GPU.  Exits 1 if anything differs and 77 without a GPU. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/builtin.h"
#include "graph/expr.h"
#include "kernels/fault.h"
#include "kernels/launch.h"

/* ---- The driver ---------------------------------------------------------------------------*/

typedef uint64_t device_ptr;
#define DRIVER(X)                                                                                                \
    X(cuInit, "cuInit", (unsigned))                                                                              \
    X(cuDeviceGet, "cuDeviceGet", (int *, int))                                                                  \
    X(cuDeviceGetName, "cuDeviceGetName", (char *, int, int))                                                    \
    X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (void **, int))                                      \
    X(cuCtxSetCurrent, "cuCtxSetCurrent", (void *))                                                              \
    X(cuCtxSynchronize, "cuCtxSynchronize", (void))                                                              \
    X(cuModuleLoadData, "cuModuleLoadData", (void **, const void *))                                             \
    X(cuModuleGetFunction, "cuModuleGetFunction", (void **, void *, const char *))                               \
    X(cuModuleGetGlobal, "cuModuleGetGlobal_v2", (device_ptr *, size_t *, void *, const char *))                 \
    X(cuFuncSetAttribute, "cuFuncSetAttribute", (void *, int, int))                                              \
    X(cuLaunchKernel, "cuLaunchKernel",                                                                          \
      (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **))  \
    X(cuMemAlloc, "cuMemAlloc_v2", (device_ptr *, size_t))                                                       \
    X(cuMemFree, "cuMemFree_v2", (device_ptr))                                                                   \
    X(cuMemcpyHtoD, "cuMemcpyHtoD_v2", (device_ptr, const void *, size_t))                                       \
    X(cuMemcpyDtoH, "cuMemcpyDtoH_v2", (void *, device_ptr, size_t))                                             \
    X(cuMemsetD8, "cuMemsetD8_v2", (device_ptr, unsigned char, size_t))                                          \
    X(cuEventCreate, "cuEventCreate", (void **, unsigned))                                                       \
    X(cuEventRecord, "cuEventRecord", (void *, void *))                                                          \
    X(cuEventSynchronize, "cuEventSynchronize", (void *))                                                        \
    X(cuEventElapsedTime, "cuEventElapsedTime", (float *, void *, void *))                                       \
    X(cuGetErrorName, "cuGetErrorName", (int, const char **))
#define DECLARE(name, symbol, params) static int (*name) params;
DRIVER(DECLARE)

enum { MAX_DYNAMIC_SHARED = 8 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "run_kernels: %s: %s\n", what, why);
    exit(1);
}
/* After a failed launch the context is lost, so the first failure ends the program. */
static void check(int rc, const char *what)
{
    const char *name = "unknown";
    if (rc == 0)
        return;
    cuGetErrorName(rc, &name);
    die(what, name);
}

static bool load_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library)
        return false;
#define BIND(name, symbol, params)                       \
    do {                                                 \
        void *address = dlsym(library, symbol);          \
        if (!address)                                    \
            die(symbol, "not in this driver");           \
        memcpy(&name, &address, sizeof address);         \
    } while (0);
    DRIVER(BIND)
    return cuInit(0) == 0;
}

/* ---- Cases --------------------------------------------------------------------------------
 *
 * A case gives arguments by name: "n=5 alpha=2 +carry".  $ stands for each of a list of sizes; a `bench` case is
 * the one that is timed.  Tiles that may be left out are given if named, or all with +all. */

struct spec {
    const char *name; /* of the kernel */
    const char *cases;
    const char *bench;
    double tolerance_f32, tolerance_f64; /* relative to the largest element; 0: the usual */
};

static const int64_t vector_sizes[] = {0, 1, 2, 3, 7, 31, 32, 33, 255, 1000, 1023, 1024, 1025, 4099, 65536, 1000003};
static const int64_t quick_sizes[] = {0, 1, 3, 33, 1025, 9001};

#define VECTORS "$: n=$"
#define MATMUL                                                                                                 \
    "n=0 m=0 k=0;n=1 m=1 k=1;n=5 m=3 k=7;n=32 m=32 k=32;n=33 m=31 k=17;n=64 m=64 k=64 alpha=2 beta=0;"         \
    "n=65 m=67 k=63 alpha=1 beta=-0.5;n=128 m=128 k=0 beta=0.5;n=100 m=200 k=300;n=256 m=256 k=256;"           \
    "*n=512 m=500 k=516;*n=1024 m=1024 k=1024;*n=1900 m=1802 k=70"
#define ORDERS "n=0;n=1;n=5;n=32;n=63;n=64;n=65;n=100;n=128;n=191;n=256;*n=500;*n=512;*n=1024"
#define SOLVES                                                                                                 \
    "n=0 m=0;n=1 m=1;n=5 m=3;n=32 m=32;n=64 m=64;n=65 m=33;n=100 m=7;n=128 m=200;*n=512 m=512;*n=500 m=300;"   \
    "*n=1024 m=1024"
#define FIELDS                                                                                                 \
    "nx=0 ny=0;nx=1 ny=1 +all;nx=1 ny=5 +all;nx=5 ny=1;nx=5 ny=1 +north +south;nx=32 ny=32 +all;"               \
    "nx=33 ny=31 +west +north;nx=31 ny=70 +east +south;nx=200 ny=100;*nx=1024 ny=1000 +all"
#define ROWS_OF                                                                                                \
    "rows=0 cols=5;rows=1 cols=1;rows=3 cols=7;rows=33 cols=32;rows=9 cols=100;rows=17 cols=256;"               \
    "rows=5 cols=257;rows=8 cols=1024;rows=3 cols=1025;rows=2 cols=2049;rows=2 cols=8192;rows=2 cols=9000;"     \
    "*rows=500 cols=768"
#define TABLES                                                                                                 \
    "m=0 n=0;m=1 n=1 +all;m=1 n=9;m=9 n=1 +all;m=7 n=5 +north;m=32 n=32 +all;m=33 n=70 +west +northwest;"       \
    "m=100 n=8 +all;m=255 n=257 +all;*m=1024 n=1000 +all;*m=1500 n=1300 +north"
#define BIG "n=33554432"

static const struct spec specs[] = {
    {"add", VECTORS, BIG, 0, 0},
    {"attention_join",
     "parts=1 cols=1;parts=3 cols=7;parts=32 cols=64;parts=33 cols=128;parts=100 cols=130;*parts=1000 cols=300",
     "parts=64 cols=128", 0, 0},
    {"attention_part",
     "rows=0 cols=5;rows=1 cols=1;rows=3 cols=7 scale=2;rows=31 cols=32;rows=33 cols=64;rows=256 cols=100;rows=257 cols=128 "
     "scale=0.5;rows=600 cols=131;*rows=5000 cols=128;*rows=1000 cols=300",
     "rows=8192 cols=128", 0, 0},
    {"axpy", VECTORS " a=1.5", BIG " a=1.5", 0, 0},
    {"bias_add", ROWS_OF, "rows=32768 cols=1024", 0, 0},
    {"copy", VECTORS, BIG, 0, 0},
    /* Of a million products of both signs a thousandth is left, so what rounding does to the sum weighs a thousand times as much. */
    {"dot", VECTORS, "n=1048576", 1e-4, 0},
    {"dot_into", VECTORS, "n=33554432", 1e-4, 0},
    {"fft",
     "n=0;n=1;n=2 rows=3;n=4 rows=5 inverse=1;n=8;n=16 rows=7;n=64 rows=9 inverse=1;n=512;n=1024 rows=4;n=8192 "
     "rows=2;n=8192 inverse=1;*n=16384;*n=32768 rows=2 inverse=1",
     "n=1024 rows=8192", 0, 0},
    {"fft_butterfly", "$: n=$ len=2000006;n=100 len=256 start=50 inverse=1", "n=16777216 len=33554432", 0, 0},
    {"fill", VECTORS " value=3", BIG " value=3", 0, 0},
    {"gelu", VECTORS, BIG, 0, 0},
    {"gemm_nn", MATMUL, "n=2048 m=2048 k=2048", 0, 0},
    {"gemm_nt", MATMUL, "n=2048 m=2048 k=2048", 0, 0},
    {"gemm_tn", MATMUL, "n=2048 m=2048 k=2048", 0, 0},
    {"getrf_nopiv", ORDERS, "n=1024", 0, 0},
    {"hash", VECTORS " id=7;n=100 id=3 +in0;n=1001 id=-1 +in1 +in7;n=5000 id=9 +all", "n=16777216 id=9 +in0", 0, 0},
    {"hash_add", VECTORS " id=7;n=1001 id=-1 +in1 +in7;n=5000 id=9 +all", "n=16777216 id=9 +in0", 0, 0},
    {"hash_commute", VECTORS " id=7;n=1001 id=-1 +in1 +in7;n=5000 id=9 +all", "n=16777216 id=9 +in0", 0, 0},
    {"hash_inout", VECTORS " id=7;n=1001 id=-1 +in1 +in7;n=5000 id=9 +all", "n=16777216 id=9 +in0", 0, 0},
    {"heat2d", FIELDS ";nx=64 ny=64 alpha=0.1 +all", "nx=4096 ny=4096 alpha=0.1 +all", 0, 0},
    {"histogram", VECTORS " bins=10 lo=-100 hi=100;n=5000 bins=5000 lo=-100 hi=90;n=5000 bins=1 lo=-1 hi=1",
     BIG " bins=256 lo=-1 hi=1", 0, 0},
    {"iota", VECTORS " start=5", BIG " start=5", 0, 0},
    {"is_above", "limit=0.1;limit=-1;limit=100", "limit=1", 0, 0},
    {"layernorm", ROWS_OF ";rows=7 cols=300 +all;rows=7 cols=64 +gamma;rows=3 cols=10000 +all",
     "rows=32768 cols=1024 +all", 0, 0},
    {"lcs", TABLES, "m=2048 n=2048 +all", 0, 0},
    {"matvec", "m=0 n=5;m=1 n=1;m=5 n=3;m=33 n=100;m=100 n=1000;m=7 n=5 trans=1;m=100 n=33 trans=1 alpha=2;*m=1000 "
               "n=1024;*m=1024 n=1000 trans=1",
     "m=8192 n=4096", 0, 0},
    {"matvec_add", "m=5 n=0 beta=2;m=33 n=100;m=100 n=1000 beta=0;m=100 n=33 trans=1 alpha=2;*m=1000 n=1024 "
                   "beta=3;*m=1024 n=1000 trans=1",
     "m=8192 n=4096 trans=1", 0, 0},
    {"max", VECTORS, BIG, 0, 0},
    {"max_diff", VECTORS, BIG, 0, 0},
    {"max_diff_into", VECTORS, NULL, 0, 0},
    {"max_into", VECTORS, NULL, 0, 0},
    {"min", VECTORS, BIG, 0, 0},
    {"min_into", VECTORS, NULL, 0, 0},
    {"mul", VECTORS, BIG, 0, 0},
    {"potrf_lower", ORDERS, "n=1024", 0, 0},
    {"relu", VECTORS, BIG, 0, 0},
    {"scale", VECTORS " a=-0.75", BIG " a=1", 0, 0},
    {"scan", VECTORS ";n=100 +carry at=5;n=70000 +carry at=0", BIG, 1e-3, 1e-11},
    {"smith_waterman", TABLES ";m=64 n=64 match=3 mismatch=-3 gap=-2", "m=2048 n=2048 +all", 0, 0},
    {"softmax", ROWS_OF, "rows=32768 cols=1024", 0, 0},
    {"spin",
     "us=0;us=20;us=1 in_bytes0=1000 out_bytes0=500 +in0 +out0;us=0 in_bytes3=65 in_bytes6=1 +in3 +in6 +in1 "
     "out_bytes6=33 out_bytes2=100001 +out6 +out2 +out1;us=0 in_bytes0=1000001 +all",
     "us=10", 0, 0},
    {"stencil3", VECTORS ";n=1 +all;n=1 +left;n=100 +left;n=101 +right;n=5000 +all", BIG, 0, 0},
    {"stencil5", FIELDS ";nx=64 ny=64 centre=0.5 edge=0.125 +all", "nx=4096 ny=4096 +all", 0, 0},
    {"sum", VECTORS, BIG, 0, 0},
    {"sum_into", VECTORS, "n=1048576", 0, 0},
    {"syrk_lower", "n=0 k=0;n=1 k=1;n=5 k=7;n=32 k=32;n=64 k=64 alpha=2 beta=0;n=65 k=63 beta=0.5;n=200 k=100;n=256 "
                   "k=256;*n=512 k=512;*n=1000 k=1024;*n=2600 k=40",
     "n=2048 k=2048", 0, 0},
    {"touch", VECTORS ";$: n=$ +y", "n=33554432", 0, 0},
    {"transpose", "m=0 n=0;m=1 n=1;m=5 n=3;m=32 n=32;m=33 n=65;m=64 n=64;m=100 n=257;*m=1024 n=1000", "m=4096 n=4096",
     0, 0},
    {"trsm_lln", SOLVES ";n=70 m=70 unit=1", "n=1024 m=1024", 0, 0},
    {"trsm_rlt", SOLVES, "n=1024 m=1024", 0, 0},
    {"trsm_run", SOLVES, "n=1024 m=1024", 0, 0},
    {"trsv_rows",
     "m=0 at=0 first=0 n=0;m=1 at=0 first=0 n=10 +all;m=8 at=2 first=5 n=80 width=8 +all;m=31 at=3 first=50 n=310 width=40 +all;"
     "m=33 at=0 first=0 n=330 width=33 solve=0 +all;*m=100 at=7 first=1 n=1000 width=100 row0=9 +all",
     NULL, 0, 0},
    {"twiddle", "rows=0 cols=3 total=9;rows=1 cols=1 total=1;rows=7 cols=9 total=63;rows=33 cols=100 total=10000 row0=5 "
                "col0=700 inverse=1;*rows=1000 cols=512 total=512000",
     "rows=4096 cols=4096 total=16777216", 0, 0},
};

/* ---- Arguments ----------------------------------------------------------------------------*/

#define GUARD  256
#define POISON 0xcd

struct argument {
    uint64_t word; /* of a scalar */
    bool is_given;
    enum tg_dtype type;
    int64_t n_elems;
    size_t bytes;
    unsigned char *before, *want; /* guard, offset, elements, guard: as it was, and as the CPU left it */
    size_t all_bytes, at;         /* of such a block; where the elements start */
    device_ptr device;            /* of the block */
};
struct call {
    const struct tgi_builtin *b;
    enum tg_dtype type;
    struct argument args[TG_MAX_PARAMS];
};

static uint64_t random_state = 0x9e3779b97f4a7c15u;
static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static double random_unit(void) { return (double)(random_bits() >> 11) * 0x1p-53; }

static enum tg_dtype type_of(const struct call *c, uint32_t i)
{
    int type = c->b->params[i].dtype;
    return type == TGI_DTYPE_T ? c->type : (enum tg_dtype)type;
}

static uint64_t word_of(enum tg_dtype type, double value)
{
    uint64_t word = 0;
    float f = (float)value;
    if (type == TG_F32 || type == TG_C64)
        memcpy(&word, &f, sizeof f);
    else if (type == TG_F64 || type == TG_C128)
        memcpy(&word, &value, sizeof value);
    else
        word = (uint64_t)(int64_t)value;
    return word;
}

static int find_param(const struct tgi_builtin *b, const char *name, size_t length)
{
    for (uint32_t i = 0; i < b->n_params; i++)
        if (strlen(b->params[i].name) == length && memcmp(b->params[i].name, name, length) == 0)
            return (int)i;
    return -1;
}

/* Takes the words of a case; `size` is what $ means. */
static void parse(struct call *c, const char *text, int64_t size)
{
    const struct tgi_builtin *b = c->b;
    for (uint32_t i = 0; i < b->n_params; i++)
        c->args[i].type = type_of(c, i);
    while (*text) {
        size_t n = strcspn(text, " ");
        const char *equals = memchr(text, '=', n);
        if (n == 4 && memcmp(text, "+all", 4) == 0) {
            for (uint32_t i = 0; i < b->n_params; i++)
                c->args[i].is_given |= b->params[i].access != TG_SCALAR;
        } else if (*text == '+' || equals) {
            int i = *text == '+' ? find_param(b, text + 1, n - 1) : find_param(b, text, (size_t)(equals - text));
            if (i < 0)
                die(b->name, text);
            c->args[i].is_given = true;
            if (equals)
                c->args[i].word =
                    equals[1] == '$' ? (uint64_t)size : word_of(c->args[i].type, strtod(equals + 1, NULL));
        }
        text += n;
        text += *text == ' ';
    }
    for (uint32_t i = 0; i < b->n_params; i++) {
        const struct tgi_builtin_param *p = &b->params[i];
        char *end;
        if (c->args[i].is_given)
            continue;
        c->args[i].is_given = p->access != TG_SCALAR && !p->fallback;
        if (p->access != TG_SCALAR)
            continue;
        double number = p->fallback ? strtod(p->fallback, &end) : 1;
        c->args[i].word = !p->fallback || *end == 0 ? word_of(c->args[i].type, number)
                                                    : c->args[find_param(b, p->fallback, strlen(p->fallback))].word;
    }
}

static struct tgi_expr_name resolve(void *user, const char *name, size_t length)
{
    const struct call *c = user;
    int i = find_param(c->b, name, length);
    struct tgi_expr_name found = {.kind = i < 0 ? TGI_NAME_UNKNOWN : TGI_NAME_SLOT, .slot = i < 0 ? 0 : (uint32_t)i};
    return found;
}
static double evaluate(struct call *c, const char *text)
{
    struct tgi_expr_scope scope = {resolve, NULL, c, c->b->cpu[TGI_DTYPE_T] ? -1 : (int)c->type};
    struct tgi_expr *expr;
    struct tgi_expr_error err;
    double slots[TG_MAX_PARAMS], value = 0;
    if (!text)
        return 0;
    for (uint32_t i = 0; i < c->b->n_params; i++)
        slots[i] = (double)(int64_t)c->args[i].word;
    if (tgi_expr_compile(text, strlen(text), &scope, &expr, &err) || tgi_expr_eval_double(expr, slots, &value, &err))
        die(c->b->name, text);
    tgi_expr_destroy(expr);
    return value;
}

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p)
        die("malloc", "out of memory");
    return p;
}

/* Rows of a sparse system: ten entries in each, of which up to three are the row's own, the diagonal last. */
static void fill_sparse(const struct call *c, const char *name, void *x)
{
    enum { EACH = 10 };
    int64_t m = (int64_t)c->args[0].word, at = (int64_t)c->args[1].word, first = (int64_t)c->args[2].word;
    int64_t width = (int64_t)c->args[9].word;
    bool is_solve = c->args[11].word != 0;
    for (int64_t r = 0; r < m; r++) {
        int64_t own = is_solve ? 1 + (r < 2 ? r : 2) : 0, begin = first + EACH * r, *start = (int64_t *)x + 2 * (at + r);
        if (strcmp(name, "start") == 0)
            start[0] = begin, start[1] = begin + EACH - own, start[2] = begin + EACH;
        for (int64_t e = 0; strcmp(name, "cols") == 0 && e < EACH; e++) {
            int64_t k = e - (EACH - own);
            ((int32_t *)x)[begin + e] = k < 0 ? (int32_t)((1 + (r + e) % 16) << 16 | (r * 7 + e * 3) % width) : (int32_t)(r - own + 1 + k);
        }
        if (strcmp(name, "vals") == 0 && c->type == TG_F32)
            ((float *)x)[begin + EACH - 1] += 2;
        else if (strcmp(name, "vals") == 0)
            ((double *)x)[begin + EACH - 1] += 2;
    }
}

/* The sums of weights in parts of an attention, which are never below 0. */
static void raise_sums(const struct call *c, const struct argument *a, void *x)
{
    int64_t cols = (int64_t)c->args[1].word;
    for (int64_t e = cols + 1; e < a->n_elems; e += cols + 2)
        if (a->type == TG_F32)
            ((float *)x)[e] += 1;
        else
            ((double *)x)[e] += 1;
}

static void fill_random(const struct call *c, uint32_t i, void *x)
{
    const struct argument *a = &c->args[i];
    const char *kernel = c->b->name, *name = c->b->params[i].name;
    bool is_string = a->type == TG_U8 && (strcmp(kernel, "lcs") == 0 || strcmp(kernel, "smith_waterman") == 0);
    bool is_small = strcmp(kernel, "histogram") == 0 || strcmp(kernel, "is_above") == 0 || a->type == TG_I32;
    for (int64_t e = 0; e < a->n_elems; e++) {
        double v = random_unit() - 0.5;
        switch (a->type) {
        case TG_F32:
            ((float *)x)[e] = (float)v;
            break;
        case TG_F64:
            ((double *)x)[e] = v;
            break;
        case TG_C64:
            ((float *)x)[2 * e] = (float)v;
            ((float *)x)[2 * e + 1] = (float)(random_unit() - 0.5);
            break;
        case TG_C128:
            ((double *)x)[2 * e] = v;
            ((double *)x)[2 * e + 1] = random_unit() - 0.5;
            break;
        case TG_I32:
            ((int32_t *)x)[e] = is_small ? (int32_t)(v * 256) : (int32_t)random_bits();
            break;
        case TG_I64:
            ((int64_t *)x)[e] = is_small ? (int64_t)(v * 256) : (int64_t)random_bits();
            break;
        default: {
            uint64_t bits = random_bits();
            memcpy((char *)x + (size_t)e * tg_dtype_size(a->type), &bits,
                   tg_dtype_size(a->type) < 8 ? tg_dtype_size(a->type) : 8);
            break;
        }
        }
    }
    if (is_string)
        for (int64_t e = 0; e < a->n_elems; e++)
            ((uint8_t *)x)[e] = "acgt"[random_bits() % 4];
    if (strcmp(kernel, "trsv_rows") == 0)
        fill_sparse(c, name, x);
    if (strcmp(kernel, "attention_join") == 0)
        raise_sums(c, a, x);
    /* Factors and matrices to be factorised: the diagonal dominates. */
    bool is_solve = strncmp(kernel, "trsm", 4) == 0 && (*name == 'l' || *name == 'u');
    bool is_factor = strcmp(kernel, "potrf_lower") == 0 || strcmp(kernel, "getrf_nopiv") == 0;
    int64_t n = (int64_t)c->args[0].word;
    for (int64_t d = 0; (is_solve || is_factor) && d < n; d++)
        if (a->type == TG_F32)
            ((float *)x)[d * n + d] += (float)n;
        else
            ((double *)x)[d * n + d] += (double)n;
}

/* Host copies of the tiles; elements begin `shift` elements after an aligned address. */
static void make_tiles(struct call *c, int shift)
{
    for (uint32_t i = 0; i < c->b->n_params; i++) {
        struct argument *a = &c->args[i];
        const struct tgi_builtin_param *p = &c->b->params[i];
        if (p->access == TG_SCALAR || !a->is_given)
            continue;
        double n = evaluate(c, p->elems);
        a->n_elems = n > 0 ? (int64_t)n : 0;
        a->bytes = (size_t)a->n_elems * tg_dtype_size(a->type);
        a->at = GUARD + (size_t)shift * tg_dtype_size(a->type);
        a->all_bytes = a->at + a->bytes + GUARD;
        a->before = allocate(a->all_bytes);
        a->want = allocate(a->all_bytes);
        memset(a->before, 0xa5, a->all_bytes);
        if (p->access == TG_OUT)
            memset(a->before + a->at, POISON, a->bytes);
        else
            fill_random(c, i, a->before + a->at);
        memcpy(a->want, a->before, a->all_bytes);
    }
}
static void drop_tiles(struct call *c)
{
    for (uint32_t i = 0; i < c->b->n_params; i++) {
        free(c->args[i].before);
        free(c->args[i].want);
        if (c->args[i].device)
            check(cuMemFree(c->args[i].device), "cuMemFree");
    }
}

/* ---- Launching ----------------------------------------------------------------------------*/

static void *module;
static device_ptr fault_at;
static bool is_dry, is_quick, is_timed = true;

static struct tgi_fault read_fault(void)
{
    struct tgi_fault f, none = {0};
    check(cuMemcpyDtoH(&f, fault_at, sizeof f), "reading the record of faults");
    check(cuMemcpyHtoD(fault_at, &none, sizeof none), "clearing the record of faults");
    return f;
}

struct kernel {
    struct tgi_launcher *launcher;
    void *function;
};
static struct kernel kernel_of(const struct tgi_builtin *b, enum tg_dtype type)
{
    struct kernel k = {NULL, NULL};
    if (tgi_launcher_create(b, type, &k.launcher))
        die(b->name, "no launcher");
    const char *symbol = tgi_launcher_symbol(k.launcher);
    if (is_dry) {
        size_t n;
        const char *image = tgi_kernels_fatbin(&n);
        if (image && !memmem(image, n, symbol, strlen(symbol) + 1))
            fprintf(stderr, "note: %s is not visible in the fat binary (it may be compressed)\n", symbol);
        return k;
    }
    check(cuModuleGetFunction(&k.function, module, symbol), symbol);
    if (b->cuda->max_shared_bytes > 48 * 1024)
        check(cuFuncSetAttribute(k.function, MAX_DYNAMIC_SHARED, (int)b->cuda->max_shared_bytes), symbol);
    return k;
}

/* Words as the kernel gets them; tiles of the GPU or of the CPU. */
static void fill_args(struct call *c, bool on_gpu, uint64_t *words, void **args)
{
    for (uint32_t i = 0; i < c->b->n_params; i++) {
        const struct argument *a = &c->args[i];
        words[i] = a->word;
        if (c->b->params[i].access != TG_SCALAR)
            words[i] = !a->is_given ? 0 : on_gpu ? a->device + a->at : (uint64_t)(uintptr_t)(a->want + a->at);
        args[i] = &words[i];
    }
}

static void launch(struct call *c, const struct kernel *k)
{
    uint64_t words[TG_MAX_PARAMS];
    void *args[TG_MAX_PARAMS];
    struct tgi_launch l;
    fill_args(c, true, words, args);
    if (tgi_launcher_size(k->launcher, args, &l))
        die(c->b->name, "launch size");
    if (l.grid < 1 || l.block < 1 || l.block > 1024 || l.shared_bytes > 227 * 1024 ||
        (l.shared_bytes > 48 * 1024 && l.shared_bytes > c->b->cuda->max_shared_bytes))
        die(c->b->name, "impossible launch");
    if (!is_dry)
        check(cuLaunchKernel(k->function, l.grid, 1, 1, l.block, 1, 1, l.shared_bytes, NULL, args, NULL),
              tgi_launcher_symbol(k->launcher));
}

static tg_cpu_fn cpu_of(const struct call *c)
{
    return c->b->cpu[TGI_DTYPE_T] ? c->b->cpu[TGI_DTYPE_T] : c->b->cpu[c->type];
}

/* ---- Comparing ----------------------------------------------------------------------------*/

struct verdict {
    uint32_t n_cases, n_failed;
    double worst;     /* error relative to the largest element of the tile */
    char first[128];  /* the first case that failed, and how */
};

static void fail(struct verdict *v, const char *text, const char *how)
{
    if (v->n_failed++ == 0)
        snprintf(v->first, sizeof v->first, "%s: %s", text, how);
}

static double element(const void *x, int64_t e, bool is_f32)
{
    return is_f32 ? (double)((const float *)x)[e] : ((const double *)x)[e];
}

static void compare(struct verdict *v, const struct call *c, uint32_t i, const unsigned char *got, double tolerance,
                    const char *text)
{
    const struct argument *a = &c->args[i];
    char how[96];
    bool is_f32 = a->type == TG_F32 || a->type == TG_C64;
    bool is_float = is_f32 || a->type == TG_F64 || a->type == TG_C128;
    int64_t n = a->n_elems * (a->type == TG_C64 || a->type == TG_C128 ? 2 : 1);
    for (size_t b = 0; b < a->all_bytes; b++)
        if ((b < a->at || b >= a->at + a->bytes) && got[b] != 0xa5) {
            snprintf(how, sizeof how, "wrote at byte %lld of tile %s", (long long)b - (long long)a->at,
                     c->b->params[i].name);
            fail(v, text, how);
            return;
        }
    got += a->at;
    const unsigned char *want = a->want + a->at;
    if (memcmp(got, want, a->bytes) == 0)
        return;
    if (!is_float || c->b->params[i].access == TG_IN) {
        size_t b = 0;
        while (got[b] == want[b])
            b++;
        size_t size = tg_dtype_size(a->type);
        snprintf(how, sizeof how, "%s[%lld] differs", c->b->params[i].name, (long long)(b / size));
        fail(v, text, how);
        return;
    }
    double largest = 0, worst = 0;
    int64_t at = -1;
    for (int64_t e = 0; e < n; e++)
        largest = fmax(largest, fabs(element(want, e, is_f32)));
    for (int64_t e = 0; e < n; e++) {
        double x = element(got, e, is_f32), y = element(want, e, is_f32);
        if (memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y)))
            continue;
        double error = isfinite(x) && isfinite(y) ? fabs(x - y) / fmax(largest, 1e-30) : INFINITY;
        if (error > worst) {
            worst = error;
            at = e;
        }
    }
    v->worst = fmax(v->worst, worst);
    if (!(worst <= tolerance)) {
        snprintf(how, sizeof how, "%s[%lld] is %.9g, not %.9g (error %.2g)", c->b->params[i].name, (long long)at,
                 element(got, at, is_f32), element(want, at, is_f32), worst);
        fail(v, text, how);
    }
}

static void run_case(struct verdict *v, const struct spec *spec, const struct tgi_builtin *b, enum tg_dtype type,
                     const struct kernel *k, const char *text, int64_t size)
{
    bool is_f32 = type == TG_F32 || type == TG_C64;
    double tolerance = is_f32 ? (spec->tolerance_f32 > 0 ? spec->tolerance_f32 : 2e-5)
                              : (spec->tolerance_f64 > 0 ? spec->tolerance_f64 : 1e-12);
    for (int shift = 0; shift < 2; shift++) {
        struct call c = {.b = b, .type = type};
        uint64_t words[TG_MAX_PARAMS];
        void *args[TG_MAX_PARAMS];
        char name[96];
        snprintf(name, sizeof name, "%s%s", text, shift ? " (unaligned)" : "");
        for (char *p = name; (p = strchr(p, '$'));)
            *p = '#';
        if (strchr(text, '$'))
            snprintf(name + strlen(name), sizeof name - strlen(name), " #=%lld", (long long)size);
        parse(&c, text, size);
        make_tiles(&c, shift);
        v->n_cases++;
        for (uint32_t i = 0; i < b->n_params && !is_dry; i++) {
            struct argument *a = &c.args[i];
            if (!a->before)
                continue;
            check(cuMemAlloc(&a->device, a->all_bytes), "cuMemAlloc");
            check(cuMemcpyHtoD(a->device, a->before, a->all_bytes), "cuMemcpyHtoD");
        }
        fill_args(&c, false, words, args);
        if (cpu_of(&c)(args, NULL))
            fail(v, name, "the CPU variant fails");
        launch(&c, k);
        if (!is_dry) {
            check(cuCtxSynchronize(), name);
            if (read_fault().n)
                fail(v, name, "a fault was reported");
        }
        for (uint32_t i = 0; i < b->n_params && !is_dry; i++) {
            struct argument *a = &c.args[i];
            if (!a->before)
                continue;
            unsigned char *got = allocate(a->all_bytes);
            check(cuMemcpyDtoH(got, a->device, a->all_bytes), "cuMemcpyDtoH");
            compare(v, &c, i, got, tolerance, name);
            free(got);
        }
        drop_tiles(&c);
    }
}

/* ---- Timing -------------------------------------------------------------------------------*/

struct timing {
    double us, gbytes, gflops; /* a launch; per second */
};

static struct timing time_case(const struct tgi_builtin *b, enum tg_dtype type, const struct kernel *k, const char *text)
{
    struct call c = {.b = b, .type = type};
    struct timing t = {0, 0, 0};
    bool is_factor = strcmp(b->name, "potrf_lower") == 0 || strcmp(b->name, "getrf_nopiv") == 0;
    void *begin, *end;
    parse(&c, text, 0);
    for (uint32_t i = 0; i < b->n_params; i++) {
        struct argument *a = &c.args[i];
        if (b->params[i].access == TG_SCALAR || !a->is_given)
            continue;
        a->n_elems = (int64_t)evaluate(&c, b->params[i].elems);
        a->bytes = a->all_bytes = (size_t)a->n_elems * tg_dtype_size(a->type);
        check(cuMemAlloc(&a->device, a->bytes + 1), "cuMemAlloc");
        /* A small positive number in every type; matrices to be factorised or solved with are random. */
        check(cuMemsetD8(a->device, 0x3c, a->bytes), "cuMemsetD8");
        if (is_factor || strncmp(b->name, "trsm", 4) == 0) {
            a->before = allocate(a->bytes + 1);
            fill_random(&c, i, a->before);
            check(cuMemcpyHtoD(a->device, a->before, a->bytes), "cuMemcpyHtoD");
        }
    }
    check(cuEventCreate(&begin, 0), "cuEventCreate");
    check(cuEventCreate(&end, 0), "cuEventCreate");
    /* The best of some batches of launches; a factorisation is done to a fresh matrix each time. */
    int n_batches = 5, n_launches = 1;
    double best = INFINITY;
    for (int batch = 0; batch <= n_batches; batch++) {
        float ms;
        for (uint32_t i = 0; is_factor && i < b->n_params; i++)
            if (c.args[i].before)
                check(cuMemcpyHtoD(c.args[i].device, c.args[i].before, c.args[i].bytes), "cuMemcpyHtoD");
        check(cuEventRecord(begin, NULL), "cuEventRecord");
        for (int i = 0; i < n_launches; i++)
            launch(&c, k);
        check(cuEventRecord(end, NULL), "cuEventRecord");
        check(cuEventSynchronize(end), text);
        check(cuEventElapsedTime(&ms, begin, end), "cuEventElapsedTime");
        if (batch > 0)
            best = fmin(best, (double)ms * 1e3 / n_launches);
        else if (!is_factor)
            n_launches = ms > 10 ? 1 : ms > 1 ? 5 : 20;
    }
    read_fault();
    t.us = best;
    t.gbytes = evaluate(&c, b->bytes) / best * 1e-3;
    t.gflops = evaluate(&c, b->flops) / best * 1e-3;
    drop_tiles(&c);
    return t;
}

/* ---- What must fail -----------------------------------------------------------------------*/

static uint32_t check_faults(void)
{
    static const struct {
        const char *name;
        enum tg_dtype type;
        const char *text;
        int kind;
        double diagonal;
        int64_t a;
    } cases[] = {
        {"histogram", TG_F32, "n=10 bins=0 lo=0 hi=1", TGI_FAULT_HISTOGRAM, 0, 0},
        {"fft", TG_C128, "n=12", TGI_FAULT_FFT_SIZE, 0, 12},
        {"twiddle", TG_C64, "rows=2 cols=2 total=-1", TGI_FAULT_TWIDDLE, 0, -1},
        {"fft_butterfly", TG_C128, "n=2 len=0", TGI_FAULT_BUTTERFLY, 0, 0},
        {"potrf_lower", TG_F64, "n=200", TGI_FAULT_NOT_POSITIVE, -1e9, 151},
        {"getrf_nopiv", TG_F64, "n=100", TGI_FAULT_NO_LU, NAN, 151 - 64},
    };
    uint32_t n_failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct call c = {.b = tgi_builtin_find(cases[i].name), .type = cases[i].type};
        struct kernel k = kernel_of(c.b, c.type);
        parse(&c, cases[i].text, 0);
        make_tiles(&c, 0);
        int64_t n = (int64_t)c.args[0].word, at = cases[i].a - 1;
        if (cases[i].diagonal != 0)
            ((double *)(void *)(c.args[1].before + c.args[1].at))[at * n + at] = cases[i].diagonal;
        for (uint32_t p = 0; p < c.b->n_params; p++)
            if (c.args[p].before) {
                check(cuMemAlloc(&c.args[p].device, c.args[p].all_bytes), "cuMemAlloc");
                check(cuMemcpyHtoD(c.args[p].device, c.args[p].before, c.args[p].all_bytes), "cuMemcpyHtoD");
            }
        launch(&c, &k);
        check(cuCtxSynchronize(), cases[i].name);
        struct tgi_fault f = read_fault();
        if (f.kind != cases[i].kind || f.n != 1 || f.a != cases[i].a) {
            printf("FAIL fault of %s (%s): kind %d, n %u, a %lld, x %g\n", cases[i].name, cases[i].text, f.kind, f.n,
                   (long long)f.a, f.x);
            n_failed++;
        }
        drop_tiles(&c);
        tgi_launcher_destroy(k.launcher);
    }
    printf("faults: %zu cases, %u wrong\n", sizeof cases / sizeof cases[0], n_failed);
    return n_failed;
}

/* ---- All of it ----------------------------------------------------------------------------*/

static void run_cases(struct verdict *v, const struct spec *spec, const struct tgi_builtin *b, enum tg_dtype type,
                      const struct kernel *k)
{
    const int64_t *sizes = is_quick ? quick_sizes : vector_sizes;
    size_t n_sizes = is_quick ? sizeof quick_sizes / sizeof *quick_sizes : sizeof vector_sizes / sizeof *vector_sizes;
    for (const char *at = spec->cases; *at;) {
        char text[256];
        size_t n = strcspn(at, ";");
        bool is_list = strncmp(at, "$: ", 3) == 0, is_large = *at == '*';
        size_t skip = is_list ? 3 : is_large ? 1 : 0;
        snprintf(text, sizeof text, "%.*s", (int)(n - skip), at + skip);
        for (size_t i = 0; i < (is_list ? n_sizes : 1); i++)
            if (!is_large || !is_quick)
                run_case(v, spec, b, type, k, text, is_list ? sizes[i] : 0);
        at += n;
        at += *at == ';';
    }
}

static uint32_t run_kernel(const struct spec *spec, const struct tgi_builtin *b, enum tg_dtype type)
{
    struct verdict v = {0, 0, 0, ""};
    struct kernel k = kernel_of(b, type);
    const char *type_name = b->cpu[TGI_DTYPE_T] ? "-" : tg_dtype_name(type);
    run_cases(&v, spec, b, type, &k);
    printf("%-15s %-5s %5u  %8.1e  %s", b->name, type_name, v.n_cases, v.worst, v.n_failed ? "FAIL" : "ok  ");
    if (is_timed && !is_dry && !is_quick && spec->bench) {
        struct timing t = time_case(b, type, &k, spec->bench);
        printf("  %10.2f  %8.0f  %8.0f  %s", t.us, t.gbytes, t.gflops, spec->bench);
    }
    printf("\n");
    if (v.n_failed)
        printf("    %u of %u, first: %s\n", v.n_failed, v.n_cases, v.first);
    fflush(stdout);
    tgi_launcher_destroy(k.launcher);
    return v.n_failed;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    bool is_named = false;
    for (int i = 1; i < argc; i++) {
        is_named |= argv[i][0] != '-';
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return !is_named;
}

int main(int argc, char **argv)
{
    size_t length;
    for (int i = 1; i < argc; i++) {
        is_quick |= strcmp(argv[i], "--quick") == 0;
        is_dry |= strcmp(argv[i], "--dry") == 0;
        is_timed &= strcmp(argv[i], "--no-bench") != 0;
    }
    const void *image = tgi_kernels_fatbin(&length);
    if (!is_dry) {
        int device;
        char name[128];
        void *context;
        if (!image)
            die("fat binary", "not in this build");
        if (!load_driver()) {
            printf("no CUDA driver or no GPU\n");
            return 77;
        }
        check(cuDeviceGet(&device, 0), "cuDeviceGet");
        check(cuDeviceGetName(name, sizeof name, device), "cuDeviceGetName");
        check(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
        check(cuCtxSetCurrent(context), "cuCtxSetCurrent");
        check(cuModuleLoadData(&module, image), "cuModuleLoadData");
        size_t bytes;
        check(cuModuleGetGlobal(&fault_at, &bytes, module, "tgk_fault"), "tgk_fault");
        if (bytes != sizeof(struct tgi_fault))
            die("tgk_fault", "has another size on the GPU");
        printf("%s, fat binary of %zu bytes\n", name, length);
    }
    printf("%-15s %-5s %5s  %8s  %s  %10s  %8s  %8s  %s\n", "kernel", "type", "cases", "error", "    ", "us/launch", "GB/s",
           "GFLOP/s", "timed case");
    uint32_t n_builtins, n_failed = 0, n_kernels = 0;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n_builtins);
    for (uint32_t i = 0; i < n_builtins; i++) {
        const struct tgi_builtin *b = all[i];
        const struct spec *spec = NULL;
        for (size_t s = 0; s < sizeof specs / sizeof specs[0]; s++)
            if (strcmp(specs[s].name, b->name) == 0)
                spec = &specs[s];
        if (!spec || !b->cuda)
            die(b->name, spec ? "has no variant for GPUs" : "is not tested here");
        if (!is_wanted(b->name, argc, argv))
            continue;
        for (int t = 0; t <= TG_N_DTYPES; t++)
            if (b->cpu[t]) {
                n_failed += run_kernel(spec, b, t == TGI_DTYPE_T ? TG_F32 : (enum tg_dtype)t);
                n_kernels++;
            }
    }
    if (!is_dry && is_wanted("faults", argc, argv))
        n_failed += check_faults();
    printf("%u kernels, %u cases wrong\n", n_kernels, n_failed);
    return n_failed > 0;
}
