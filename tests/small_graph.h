/* A small graph with a buffer and a kernel of each kind, made anew for every test, and how refusals are checked on it. */
#ifndef TEST_SMALL_GRAPH_H
#define TEST_SMALL_GRAPH_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "graph/model.h"
#include "tests/random_graph.h"

static struct tg_error err;
static struct tg_graph *g;
enum { F32S, F64S, BYTES, HOLES, GRID, EMPTY, C64S, N_BUFFERS };
enum { PLAIN, AXPY, GEMM, LAYERNORM, TYPED, N_KERNELS };

static inline int nothing(void **args, const struct tg_context *ctx)
{
    (void)args;
    (void)ctx;
    return 0;
}

static inline struct tg_buffer_spec buffer_of(const char *name, enum tg_dtype dtype, int64_t elems, int64_t tiles)
{
    struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
    b.name = name;
    b.dtype = dtype;
    b.n_dims = 1;
    b.shape[0] = elems;
    b.n_tile_dims = 1;
    b.tiles[0] = tiles;
    return b;
}

static inline int setup(void **state)
{
    static const uint8_t present[] = {1, 0, 1, 1};
    static const struct tg_param plain[] = {
        {"n", TG_I32, TG_SCALAR, TG_SUM}, {"x", TG_F32, TG_IN, TG_SUM}, {"y", TG_F32, TG_OUT, TG_SUM}};
    static const struct tg_param typed[] = {{"f16", TG_F16, TG_SCALAR, TG_SUM},
                                            {"u8", TG_U8, TG_SCALAR, TG_SUM},
                                            {"f32", TG_F32, TG_SCALAR, TG_SUM},
                                            {"c", TG_C64, TG_SCALAR, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    uint32_t id;
    (void)state;
    MUST(tg_graph_create("g", &g, &err));
    struct tg_buffer_spec b[N_BUFFERS] = {buffer_of("f32s", TG_F32, 16, 4), buffer_of("f64s", TG_F64, 16, 4),
                                          buffer_of("bytes", TG_U8, 16, 4), buffer_of("holes", TG_F32, 16, 4),
                                          buffer_of("grid", TG_F32, 4, 2),  buffer_of("empty", TG_I32, 0, 1),
                                          buffer_of("c64s", TG_C64, 4, 2)};
    b[HOLES].present = present;
    b[GRID].n_tile_dims = 2;
    b[GRID].tiles[1] = 3;
    for (uint32_t i = 0; i < N_BUFFERS; i++) {
        MUST(tg_graph_add_buffer(g, &b[i], &id, &err));
        assert_int_equal(id, i);
    }
    k.name = "plain";
    k.n_params = 3;
    k.params = plain;
    k.cpu = nothing;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    static const char *const builtins[] = {"axpy", "gemm_nn", "layernorm"};
    for (uint32_t i = 0; i < 3; i++) {
        k = (struct tg_kernel_spec)TG_KERNEL_SPEC_INIT;
        k.name = k.builtin = builtins[i];
        MUST(tg_graph_add_kernel(g, &k, &id, &err));
        assert_int_equal(id, AXPY + i);
    }
    k = (struct tg_kernel_spec)TG_KERNEL_SPEC_INIT;
    k.name = "typed";
    k.n_params = 4;
    k.params = typed;
    k.cpu = nothing;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    assert_int_equal(id, TYPED);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    tg_graph_destroy(g);
    g = NULL;
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- Refusals -----------------------------------------------------------------------------*/

struct fingerprint {
    uint32_t n_tasks, n_args, n_attrs, n_controls, n_buffers, n_tiles;
    size_t n_names_text;
};
static inline struct fingerprint fingerprint(void)
{
    return (struct fingerprint){g->n_tasks,          g->n_args,         g->n_attrs,     g->n_controls,
                                g->space->n_buffers, g->space->n_tiles, g->n_names_text};
}

#define REFUSED(call, expected)                                                                      \
    do {                                                                                             \
        struct fingerprint before_ = fingerprint();                                                  \
        memset(&err, 0xff, sizeof err);                                                              \
        int rc_ = (call);                                                                            \
        if (rc_ != (expected))                                                                       \
            fail_msg("line %d: %d instead of %d: %s", __LINE__, rc_, expected, rc_ ? err.text : ""); \
        assert_int_equal(err.status, rc_);                                                           \
        assert_true(err.text[0] && err.line == 0 && err.file[0] == '\0');                            \
        struct fingerprint after_ = fingerprint();                                                   \
        assert_memory_equal(&before_, &after_, sizeof before_);                                      \
    } while (0)

static inline int try_kernel(struct tg_kernel_spec k)
{
    tg_kernel_id id = 12345;
    int rc = tg_graph_add_kernel(g, &k, &id, &err);
    assert_true(rc == 0 || id == 12345);
    return rc;
}

static inline int try_task(struct tg_task_spec t)
{
    tg_task_id id = 12345;
    int rc = tg_graph_add_task(g, &t, &id, &err);
    assert_true(rc == 0 || id == 12345);
    return rc;
}

#endif
