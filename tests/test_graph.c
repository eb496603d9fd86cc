/* Building graphs: what is accepted, what is refused with which status, and that a refusal leaves
 * the graph as it was. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "graph/model.h"
#include "tests/random_graph.h"

static struct tg_error err;
static struct tg_graph *g;
enum { F32S, F64S, BYTES, HOLES, GRID, EMPTY, C64S, N_BUFFERS };
enum { PLAIN, AXPY, GEMM, LAYERNORM, TYPED, N_KERNELS };

static int nothing(void **args, const struct tg_context *ctx)
{
    (void)args;
    (void)ctx;
    return 0;
}

static struct tg_buffer_spec buffer_of(const char *name, enum tg_dtype dtype, int64_t elems, int64_t tiles)
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

static int setup(void **state)
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

static int teardown(void **state)
{
    (void)state;
    tg_graph_destroy(g);
    g = NULL;
    return 0;
}

/* ---- Refusals -----------------------------------------------------------------------------*/

struct fingerprint {
    uint32_t n_tasks, n_args, n_attrs, n_controls, n_buffers, n_tiles;
    size_t n_names_text;
};
static struct fingerprint fingerprint(void)
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

static int try_buffer(struct tg_buffer_spec b)
{
    tg_buffer_id id = 12345;
    int rc = tg_graph_add_buffer(g, &b, &id, &err);
    assert_true(rc == 0 || id == 12345);
    return rc;
}

static void buffers_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct tg_buffer_spec b = buffer_of("new", TG_F32, 4, 4);
    char name[300];
    memset(name, 'n', sizeof name);
    name[257] = '\0';
#define BAD(change, status)             \
    do {                                \
        struct tg_buffer_spec c = b;    \
        change;                         \
        REFUSED(try_buffer(c), status); \
    } while (0)
    BAD(c.name = NULL, TG_E_BAD_NAME);
    BAD(c.name = "", TG_E_BAD_NAME);
    BAD(c.name = "a\nb", TG_E_BAD_NAME);
    BAD(c.name = "a\x7f", TG_E_BAD_NAME);
    BAD(c.name = name, TG_E_BAD_NAME);
    BAD(c.name = "f32s", TG_E_DUPLICATE_NAME);
    BAD(c.dtype = TG_N_DTYPES, TG_E_INVALID);
    BAD(c.dtype = (enum tg_dtype) - 1, TG_E_INVALID);
    BAD(c.init = TG_INIT_CALL, TG_E_INVALID);
    BAD(c.n_dims = 9, TG_E_SHAPE_MISMATCH);
    BAD(c.n_tile_dims = 9, TG_E_SHAPE_MISMATCH);
    BAD(c.shape[0] = -1, TG_E_SHAPE_MISMATCH);
    BAD(c.tiles[0] = 0, TG_E_SHAPE_MISMATCH);
    BAD(c.shape[0] = INT64_MAX, TG_E_SIZE_OVERFLOW);
    BAD((c.n_dims = 2, c.shape[0] = c.shape[1] = INT64_C(1) << 32), TG_E_SIZE_OVERFLOW);
    BAD((c.shape[0] = INT64_C(1) << 40, c.tiles[0] = INT64_C(1) << 22), TG_E_SIZE_OVERFLOW);
    BAD(c.tiles[0] = UINT32_MAX, TG_E_SIZE_OVERFLOW);
    BAD((c.shape[0] = 0, c.tiles[0] = UINT32_MAX), TG_E_SIZE_OVERFLOW);
#undef BAD
    name[256] = '\0';
    b.name = name;
    assert_int_equal(try_buffer(b), 0);
    assert_int_equal(tg_graph_find_buffer(g, name), N_BUFFERS);
}

static int try_kernel(struct tg_kernel_spec k)
{
    tg_kernel_id id = 12345;
    int rc = tg_graph_add_kernel(g, &k, &id, &err);
    assert_true(rc == 0 || id == 12345);
    return rc;
}

static void structs_of_a_size_the_library_does_not_know_are_refused(void **state)
{
    (void)state;
    struct tg_graph *g;
    tg_buffer_id b;
    tg_kernel_id id;
    assert_int_equal(tg_graph_create("sizes", &g, &err), 0);
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "b";
    buffer.size += 64;
    assert_int_equal(tg_graph_add_buffer(g, &buffer, &b, &err), TG_E_INVALID);
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = "k";
    kernel.size = 3;
    assert_int_equal(tg_graph_add_kernel(g, &kernel, &id, &err), TG_E_INVALID);
    kernel.size = sizeof kernel;
    kernel.n_params = 1;
    assert_int_equal(tg_graph_add_kernel(g, &kernel, &id, &err), TG_E_INVALID);
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    task.size = 0;
    assert_int_equal(tg_graph_add_task(g, &task, NULL, &err), TG_E_INVALID);
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *runtime;
    options.size = 1;
    assert_int_equal(tg_runtime_create(&options, &runtime, &err), TG_E_INVALID);
    tg_graph_destroy(g);
}

static void a_space_holds_a_limited_number_of_tiles(void **state)
{
    (void)state;
    struct tg_graph *g;
    tg_buffer_id b;
    assert_int_equal(tg_graph_create("tiles", &g, &err), 0);
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "b";
    buffer.n_dims = buffer.n_tile_dims = 1;
    buffer.tiles[0] = 1 << 28; /* of zero elements */
    assert_int_equal(tg_graph_add_buffer(g, &buffer, &b, &err), TG_E_LIMIT);
    tg_graph_destroy(g);
}

static void kernels_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct tg_param params[40];
    char names[40][16];
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    for (int i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        params[i] = (struct tg_param){names[i], TG_F32, i ? TG_IN : TG_SCALAR, TG_SUM};
    }
    k.name = "new";
    k.n_params = 3;
    k.params = params;
    k.cpu = nothing;
#define BAD(change, status)                \
    do {                                   \
        struct tg_kernel_spec c = k;       \
        struct tg_param kept[3];           \
        memcpy(kept, params, sizeof kept); \
        change;                            \
        REFUSED(try_kernel(c), status);    \
        memcpy(params, kept, sizeof kept); \
    } while (0)
    BAD(c.name = NULL, TG_E_BAD_NAME);
    BAD(c.name = "plain", TG_E_DUPLICATE_NAME);
    BAD(c.n_params = 33, TG_E_LIMIT);
    BAD(params[1].name = NULL, TG_E_BAD_NAME);
    BAD(params[1].name = "", TG_E_BAD_NAME);
    BAD(params[2].name = "p1", TG_E_DUPLICATE_NAME);
    BAD(params[2].dtype = TG_N_DTYPES, TG_E_INVALID);
    BAD(params[2].access = (enum tg_access)99, TG_E_INVALID);
    BAD(params[2].op = (enum tg_op) - 1, TG_E_INVALID);
    BAD(c.builtin = "axpy", TG_E_INVALID);
    BAD((c.cpu = NULL, c.builtin = "axpi"), TG_E_UNKNOWN_BUILTIN);
    BAD((c.cpu = NULL, c.builtin = "axpy"), TG_E_SIGNATURE);
    BAD(c.flops = "2*", TG_E_EXPR_SYNTAX);
    BAD(c.bytes = "q", TG_E_UNKNOWN_NAME);
    BAD(c.us = "p1", TG_E_UNKNOWN_NAME); /* a tile has no value */
#undef BAD
    assert_int_equal(try_kernel(k), 0);
    k.name = "most";
    k.n_params = 32;
    assert_int_equal(try_kernel(k), 0);
}

static int try_task(struct tg_task_spec t)
{
    tg_task_id id = 12345;
    int rc = tg_graph_add_task(g, &t, &id, &err);
    assert_true(rc == 0 || id == 12345);
    return rc;
}

static void tasks_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct tg_arg args[40] = {tg_arg_int(3), tg_arg_tile(F32S, 0), tg_arg_tile(F32S, 1)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.name = "first";
    t.kernel = PLAIN;
    t.n_args = 3;
    t.args = args;
    t.priority = 1;
#define BAD(change, status)              \
    do {                                 \
        struct tg_task_spec c = t;       \
        struct tg_arg kept[3];           \
        memcpy(kept, args, sizeof kept); \
        c.name = "other";                \
        change;                          \
        REFUSED(try_task(c), status);    \
        memcpy(args, kept, sizeof kept); \
    } while (0)
    BAD(c.name = "", TG_E_BAD_NAME); /* as the very first task, when no column is there yet */
    assert_int_equal(try_task(t), 0);
    BAD(c.name = "first", TG_E_DUPLICATE_NAME);
    BAD(c.name = "a\tb", TG_E_BAD_NAME);
    BAD(c.kind = (enum tg_task_kind)77, TG_E_INVALID);
    BAD(c.kernel = TG_NONE, TG_E_UNKNOWN_KERNEL);
    BAD(c.kernel = N_KERNELS + 50, TG_E_UNKNOWN_KERNEL);
    BAD(c.n_args = 2, TG_E_MISSING_ARGUMENT);
    BAD(c.n_args = 4, TG_E_UNKNOWN_ARGUMENT);
    BAD(args[0] = tg_arg_tile(F32S, 0), TG_E_TYPE_MISMATCH);
    BAD(args[0] = tg_arg_int(INT64_C(1) << 31), TG_E_TYPE_MISMATCH);
    BAD(args[0] = tg_arg_float(0.5), TG_E_TYPE_MISMATCH);
    BAD(args[0] = tg_arg_float(NAN), TG_E_TYPE_MISMATCH);
    BAD(args[1] = tg_arg_int(1), TG_E_TYPE_MISMATCH);
    BAD(args[1] = tg_arg_tile(F64S, 0), TG_E_TYPE_MISMATCH);
    BAD(args[1] = tg_arg_tile(N_BUFFERS, 0), TG_E_UNKNOWN_BUFFER);
    BAD(args[1] = tg_arg_tile(F32S, 4), TG_E_INDEX_RANGE);
    BAD(args[1] = tg_arg_tile(HOLES, 1), TG_E_TILE_ABSENT);
    BAD(args[1] = tg_arg_all(HOLES), TG_E_TILE_ABSENT);
    BAD(args[1] = tg_arg_rows(F32S, 0, 3, 3), TG_E_ROW_RANGE);
    BAD(args[1] = tg_arg_rows(F32S, 0, 5, 4), TG_E_ROW_RANGE);
    BAD(args[1] = tg_arg_rows(F32S, 0, 0, 17), TG_E_ROW_RANGE);
    BAD(args[1] = tg_arg_rows(EMPTY, 0, 0, 1), TG_E_ROW_RANGE);
    BAD(c.on = "gpu", TG_E_BAD_VALUE);
    BAD(c.prefer = "cuda:32", TG_E_BAD_VALUE);
    BAD(c.on = "", TG_E_BAD_VALUE);
    BAD(c.on = "cpu+", TG_E_BAD_VALUE);
    BAD((c.kind = TG_TASK_BARRIER, c.n_args = 1), TG_E_UNKNOWN_ARGUMENT);
    BAD((c.kind = TG_TASK_COPY), TG_E_MISSING_ARGUMENT);
    BAD((c.kind = TG_TASK_COPY, c.n_args = 2, c.args = args + 1, args[1] = tg_arg_tile(F64S, 0)),
        TG_E_TYPE_MISMATCH);
    BAD((c.kind = TG_TASK_COPY, c.n_args = 2, c.args = args + 1, args[1] = tg_arg_rows(F32S, 0, 0, 3)),
        TG_E_SHAPE_MISMATCH);
    BAD((c.kind = TG_TASK_COPY, c.n_args = 2, c.args = args + 1, args[1] = tg_arg_all(F32S)),
        TG_E_SHAPE_MISMATCH);
    BAD((c.kind = TG_TASK_FILL, c.n_args = 2), TG_E_TYPE_MISMATCH);
    BAD((c.kind = TG_TASK_FILL, c.n_args = 2, args[0] = tg_arg_tile(BYTES, 0), args[1] = tg_arg_int(256)),
        TG_E_TYPE_MISMATCH);
    BAD((c.kind = TG_TASK_FILL, c.n_args = 1), TG_E_MISSING_ARGUMENT);
#undef BAD
    assert_int_equal(tg_graph_find_task(g, "first"), 0);
    assert_int_equal(tg_graph_find_task(g, "other"), TG_NONE);
    REFUSED(tg_graph_add_edge(g, 0, 1, &err), TG_E_UNKNOWN_TASK);
    REFUSED(tg_graph_add_edge(g, TG_NONE, 0, &err), TG_E_UNKNOWN_TASK);
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, 0);
}

static void scalars_that_do_not_fit_their_type_are_refused(void **state)
{
    (void)state;
    struct tg_arg args[4] = {tg_arg_float(65504), tg_arg_int(255), tg_arg_float(3e38), tg_arg_int(0)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kernel = TYPED;
    t.n_args = 4;
    t.args = args;
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH); /* a complex number by value */
    struct tg_param params[] = {{"f16", TG_F16, TG_SCALAR, TG_SUM},
                                {"u8", TG_U8, TG_SCALAR, TG_SUM},
                                {"f32", TG_F32, TG_SCALAR, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    k.name = "real";
    k.n_params = 3;
    k.params = params;
    k.cpu = nothing;
    MUST(tg_graph_add_kernel(g, &k, &t.kernel, &err));
    t.n_args = 3;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    args[0] = tg_arg_float(-INFINITY);
    args[2] = tg_arg_float(NAN);
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    args[0] = tg_arg_int(100000);
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH);
    args[0] = tg_arg_float(1e6);
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH);
    args[0] = tg_arg_int(1);
    args[2] = tg_arg_float(1e39);
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH);
    args[2] = tg_arg_float(0.1);
    args[1] = tg_arg_int(-1);
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH);
    args[1] = tg_arg_float(200.0); /* a whole number will do */
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    assert_int_equal(tgi_graph_word(g, 2, 1), 200);
    assert_int_equal(tgi_graph_word(g, 0, 0), 0x7bff);
}

static void collectives_that_cannot_be_performed_are_refused(void **state)
{
    (void)state;
    struct tg_arg args[4] = {tg_arg_tile(F32S, 0), tg_arg_tile(F32S, 1), tg_arg_tile(F32S, 2),
                             tg_arg_tile(F32S, 3)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_COLLECTIVE;
    t.n_args = 4;
    t.args = args;
#define BAD(change, status)              \
    do {                                 \
        struct tg_task_spec c = t;       \
        struct tg_arg kept[4];           \
        memcpy(kept, args, sizeof kept); \
        change;                          \
        REFUSED(try_task(c), status);    \
        memcpy(args, kept, sizeof kept); \
    } while (0)
    BAD(c.collective = (enum tg_collective)7, TG_E_INVALID);
    BAD(c.op = (enum tg_op)9, TG_E_INVALID);
    BAD(c.n_args = 0, TG_E_COLLECTIVE);
    BAD(args[3] = tg_arg_tile(F32S, 0), TG_E_COLLECTIVE);
    BAD(args[3] = tg_arg_tile(F64S, 0), TG_E_COLLECTIVE);
    BAD(args[3] = tg_arg_tile(GRID, 0), TG_E_COLLECTIVE);
    BAD(args[3] = tg_arg_all(GRID), TG_E_COLLECTIVE);
    BAD((c.n_args = 3, c.collective = TG_ALLTOALL), TG_E_COLLECTIVE);
    BAD((c.collective = TG_BROADCAST, c.root = 4), TG_E_COLLECTIVE);
    BAD((c.collective = TG_REDUCE_TO, c.root = 4), TG_E_COLLECTIVE);
    BAD(c.collective = TG_SENDRECV, TG_E_COLLECTIVE);
    BAD((c.op = TG_MAX, c.n_args = 2, args[0] = tg_arg_tile(C64S, 0), args[1] = tg_arg_tile(C64S, 1)),
        TG_E_COLLECTIVE);
#undef BAD
    for (int c = TG_ALLREDUCE; c <= TG_ALLTOALL; c++) {
        t.collective = (enum tg_collective)c;
        MUST(tg_graph_add_task(g, &t, NULL, &err));
    }
}

static void a_frozen_graph_takes_nothing_and_neither_do_bodies_made_of_it(void **state)
{
    (void)state;
    struct tg_graph *body, *late = NULL;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    struct tg_buffer_spec b = buffer_of("late", TG_F32, 1, 1);
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    struct tg_graph_stats stats;
    uint32_t id;
    t.kind = TG_TASK_BARRIER;
    k.name = "late";
    k.cpu = nothing;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    MUST(tg_graph_create_body(g, &body, &err)); /* never given to a task */
    REFUSED(tg_graph_stats(g, &stats, &err), TG_E_NOT_FROZEN);
    REFUSED(tg_graph_freeze(body, &err), TG_E_STATE);
    MUST(tg_graph_freeze(g, &err));
    MUST(tg_graph_freeze(g, &err)); /* again: nothing to do */
    struct tg_graph *both[] = {g, body};
    for (int i = 0; i < 2; i++) {
        REFUSED(tg_graph_add_task(both[i], &t, NULL, &err), TG_E_FROZEN);
        REFUSED(tg_graph_add_buffer(both[i], &b, &id, &err), TG_E_FROZEN);
        REFUSED(tg_graph_add_kernel(both[i], &k, &id, &err), TG_E_FROZEN);
        REFUSED(tg_graph_add_edge(both[i], 0, 0, &err), TG_E_FROZEN);
        REFUSED(tg_graph_create_body(both[i], &late, &err), TG_E_FROZEN);
    }
    tg_graph_destroy(body);
}

static void a_failed_freeze_leaves_a_graph_that_can_be_changed(void **state)
{
    (void)state;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    tg_task_id later = 1;
    struct tg_arg args[] = {tg_arg_tile(F32S, 0), tg_arg_float(1)};
    t.kind = TG_TASK_FILL;
    t.n_args = 2;
    t.args = args;
    t.n_after = 1;
    t.after = &later;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    assert_int_equal(tg_graph_freeze(g, &err), TG_E_UNKNOWN_TASK);
    t.n_after = 0;
    args[0] = tg_arg_tile(F32S, 1);
    t.name = "then";
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, 1);
    assert_int_equal(g->nodes[0].n_preds, 1);
}

/* ---- Bodies -------------------------------------------------------------------------------*/

static struct tg_graph *body_that_fills(uint32_t tile)
{
    struct tg_graph *body;
    struct tg_arg args[] = {tg_arg_tile(F32S, tile), tg_arg_float(1)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    MUST(tg_graph_create_body(g, &body, &err));
    t.kind = TG_TASK_FILL;
    t.n_args = 2;
    t.args = args;
    MUST(tg_graph_add_task(body, &t, NULL, &err));
    return body;
}

static void control_tasks_check_their_bodies_and_conditions(void **state)
{
    (void)state;
    struct tg_graph *body = body_that_fills(0), *other = body_that_fills(1), *stranger, *foreign;
    struct tg_arg condition[] = {tg_arg_tile(BYTES, 0), tg_arg_tile(BYTES, 1)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    MUST(tg_graph_create("stranger", &stranger, &err));
    MUST(tg_graph_create_body(stranger, &foreign, &err));
#define BAD(change, status)           \
    do {                              \
        struct tg_task_spec c = t;    \
        change;                       \
        REFUSED(try_task(c), status); \
    } while (0)
    t.kind = TG_TASK_REPEAT;
    t.count = 2;
    t.body = body;
    BAD(c.body = NULL, TG_E_INVALID);
    BAD(c.body = g, TG_E_INVALID);
    BAD(c.body = stranger, TG_E_INVALID);
    BAD(c.body = foreign, TG_E_INVALID);
    BAD(c.body_else = other, TG_E_INVALID);
    BAD((c.n_args = 1, c.args = condition), TG_E_UNKNOWN_ARGUMENT);
    t.kind = TG_TASK_IF;
    t.n_args = 1;
    t.args = condition;
    BAD(c.n_args = 0, TG_E_MISSING_ARGUMENT);
    BAD(c.n_args = 2, TG_E_MISSING_ARGUMENT);
    BAD(condition[0] = tg_arg_tile(F32S, 0), TG_E_TYPE_MISMATCH);
    BAD(condition[0] = tg_arg_tile(EMPTY, 0), TG_E_TYPE_MISMATCH);
    condition[0] = tg_arg_tile(BYTES, 0);
    BAD(c.body_else = foreign, TG_E_INVALID);
    BAD(c.body_else = body, TG_E_INVALID); /* it would be destroyed twice */
    struct tg_task_spec inner = t;
    inner.body = body;
    REFUSED(tg_graph_add_task(body, &inner, NULL, &err), TG_E_INVALID);
    t.body_else = other;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    /* Both belong to the task now, which knows what they touch. */
    BAD(c.body_else = NULL, TG_E_INVALID);
    BAD((c.body = other, c.body_else = NULL), TG_E_INVALID);
    struct tg_task_spec barrier = TG_TASK_SPEC_INIT;
    barrier.kind = TG_TASK_BARRIER;
    REFUSED(tg_graph_add_task(body, &barrier, NULL, &err), TG_E_STATE);
    REFUSED(tg_graph_add_edge(body, 0, 0, &err), TG_E_STATE);
#undef BAD
    tg_graph_destroy(foreign);
    tg_graph_destroy(stranger);
    MUST(tg_graph_freeze(g, &err));
}

static void what_a_body_touches_orders_its_task(void **state)
{
    (void)state;
    struct tg_graph *outer, *inner = body_that_fills(2);
    struct tg_task_spec t = TG_TASK_SPEC_INIT, fill = TG_TASK_SPEC_INIT;
    struct tg_arg args[] = {tg_arg_tile(F32S, 2), tg_arg_float(1)};
    MUST(tg_graph_create_body(g, &outer, &err));
    fill.kind = TG_TASK_FILL;
    fill.n_args = 2;
    fill.args = args;
    MUST(tg_graph_add_task(g, &fill, NULL, &err)); /* 0: tile 2 */
    args[0] = tg_arg_tile(F32S, 3);
    MUST(tg_graph_add_task(g, &fill, NULL, &err)); /* 1: tile 3 */
    t.kind = TG_TASK_REPEAT;
    t.count = 2;
    t.body = inner;
    MUST(tg_graph_add_task(outer, &t, NULL, &err));
    t.body = outer;
    MUST(tg_graph_add_task(g, &t, NULL, &err)); /* 2: touches tile 2, two levels down */
    args[0] = tg_arg_tile(F32S, 2);
    MUST(tg_graph_add_task(g, &fill, NULL, &err)); /* 3 */
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, 2);
    assert_int_equal(g->nodes[1].n_preds, 0);
    assert_int_equal(g->nodes[2].n_preds, 1);
    assert_int_equal(g->nodes[3].n_preds, 1);
}

static void an_empty_body_is_allowed(void **state)
{
    (void)state;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    MUST(tg_graph_create_body(g, &t.body, &err));
    t.kind = TG_TASK_REPEAT;
    t.count = 5;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    MUST(tg_graph_freeze(g, &err));
}

/* ---- Built-in kernels ---------------------------------------------------------------------*/

static void arguments_left_out_of_a_builtin_have_their_defaults(void **state)
{
    (void)state;
    struct tg_arg args[] = {tg_arg_int(2), tg_arg_tile(F64S, 0), tg_arg_tile(F64S, 1), tg_arg_tile(F64S, 2),
                            tg_arg_int(4)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kernel = GEMM;
    t.n_args = 4;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    t.n_args = 5;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    double minus_one = -1, one = 1;
    uint64_t words[2];
    memcpy(&words[0], &minus_one, 8);
    memcpy(&words[1], &one, 8);
    for (uint32_t task = 0; task < 2; task++) {
        assert_int_equal(tgi_graph_word(g, task, 0), 2);            /* n */
        assert_int_equal(tgi_graph_word(g, task, 4), task ? 4 : 2); /* m */
        assert_int_equal(tgi_graph_word(g, task, 5), 2);            /* k */
        assert_true(tgi_graph_word(g, task, 6) == words[0]);        /* alpha */
        assert_true(tgi_graph_word(g, task, 7) == words[1]);        /* beta */
    }
    t.n_args = 3;
    REFUSED(try_task(t), TG_E_MISSING_ARGUMENT);
    args[0] = tg_arg_int(5); /* 25 elements of 16 */
    t.n_args = 4;
    REFUSED(try_task(t), TG_E_SHAPE_MISMATCH);
    args[0] = tg_arg_int(INT64_MAX);
    REFUSED(try_task(t), TG_E_SHAPE_MISMATCH);
}

static void an_optional_tile_may_be_absent(void **state)
{
    (void)state;
    struct tg_arg args[] = {tg_arg_int(2),        tg_arg_int(4),           tg_arg_tile(F32S, 0),
                            tg_arg_tile(F32S, 1), tg_arg_tile(TG_NONE, 0), tg_arg_tile(F32S, 2)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kernel = LAYERNORM;
    t.args = args;
    for (t.n_args = 4; t.n_args <= 6; t.n_args++)
        MUST(tg_graph_add_task(g, &t, NULL, &err));
    for (uint32_t task = 0; task < 3; task++) {
        assert_true(tgi_graph_word(g, task, 4) == TGI_WORD_NULL);
        assert_int_equal(tgi_graph_word(g, task, 5) == TGI_WORD_NULL, task < 2);
    }
    args[2] = tg_arg_tile(TG_NONE, 0); /* x is not optional */
    REFUSED(try_task(t), TG_E_UNKNOWN_BUFFER);
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, 2);
}

static void a_generic_kernel_has_one_instance_for_each_type(void **state)
{
    (void)state;
    struct tg_arg args[] = {tg_arg_int(16), tg_arg_float(2), tg_arg_tile(F32S, 0), tg_arg_tile(F32S, 1)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kernel = AXPY;
    t.n_args = 4;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    args[2] = tg_arg_tile(F64S, 0);
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH);
    args[3] = tg_arg_tile(F64S, 1);
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    args[2] = tg_arg_tile(BYTES, 0);
    args[3] = tg_arg_tile(BYTES, 1);
    REFUSED(try_task(t), TG_E_DTYPE_UNSUPPORTED);
    args[2] = tg_arg_int(0);
    args[3] = tg_arg_int(0);
    REFUSED(try_task(t), TG_E_TYPE_MISMATCH);
    assert_ptr_equal(tgi_graph_op(g, 0), tgi_graph_op(g, 1));
    assert_ptr_not_equal(tgi_graph_op(g, 0), tgi_graph_op(g, 2));
    assert_int_equal(tgi_graph_op(g, 0)->type_t, TG_F32);
    assert_int_equal(tgi_graph_op(g, 2)->type_t, TG_F64);
    assert_int_equal(tgi_graph_op(g, 2)->params[2].dtype, TG_F64);
    float two = 2;
    uint32_t bits;
    memcpy(&bits, &two, 4);
    assert_int_equal(tgi_graph_word(g, 0, 1), bits);
    /* The instance is no kernel of that name, and the kernel's id still makes instances. */
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    k.name = "axpy";
    k.cpu = nothing;
    REFUSED(try_kernel(k), TG_E_DUPLICATE_NAME);
}

static void declared_parameters_must_match_the_builtin(void **state)
{
    (void)state;
    struct tg_param params[] = {{"count", TG_I32, TG_SCALAR, TG_SUM},
                                {"a", TG_F64, TG_SCALAR, TG_SUM},
                                {"from", TG_F64, TG_IN, TG_SUM},
                                {"to", TG_F64, TG_INOUT, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    k.name = "mine";
    k.builtin = "axpy";
    k.n_params = 4;
    k.params = params;
    params[1].dtype = TG_F32;
    REFUSED(try_kernel(k), TG_E_SIGNATURE);
    params[1].dtype = TG_F64;
    params[0].dtype = TG_F64;
    REFUSED(try_kernel(k), TG_E_SIGNATURE);
    params[0].dtype = TG_I32;
    params[2].access = TG_SCALAR;
    REFUSED(try_kernel(k), TG_E_SIGNATURE);
    params[2].access = TG_IN;
    k.n_params = 3;
    REFUSED(try_kernel(k), TG_E_SIGNATURE);
    k.n_params = 4;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    struct tg_arg args[] = {tg_arg_int(16), tg_arg_int(-3), tg_arg_tile(F64S, 0), tg_arg_tile(F64S, 1)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kernel = id;
    t.n_args = 4;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    args[0] = tg_arg_int(17);
    REFUSED(try_task(t), TG_E_SHAPE_MISMATCH);
}

/* ---- Names and attributes -----------------------------------------------------------------*/

static void many_names_are_found_again(void **state)
{
    (void)state;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    char name[40], scratch[16];
    t.kind = TG_TASK_BARRIER;
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%s%u", i % 3 ? "a rather long prefix / " : "", i);
        t.name = i % 7 == 0 ? NULL : name;
        MUST(tg_graph_add_task(g, &t, NULL, &err));
        if (t.name)
            REFUSED(try_task(t), TG_E_DUPLICATE_NAME);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%s%u", i % 3 ? "a rather long prefix / " : "", i);
        assert_int_equal(tg_graph_find_task(g, name), i % 7 == 0 ? TG_NONE : i);
        if (i % 7 == 0)
            snprintf(name, sizeof name, "#%u", i);
        assert_string_equal(tgi_graph_task_name(g, i, scratch), name);
    }
    assert_int_equal(tg_graph_find_task(g, ""), TG_NONE);
    assert_int_equal(tg_graph_find_task(g, "a rather long prefix / "), TG_NONE);
    assert_int_equal(tg_graph_find_buffer(g, "grid"), GRID);
    assert_int_equal(tg_graph_find_buffer(g, "gri"), TG_NONE);
}

static void attributes_belong_to_their_task(void **state)
{
    (void)state;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_BARRIER;
    for (uint32_t i = 0; i < 100; i++) {
        t.retries = i % 3 == 1 ? i : 0;
        t.timeout_ms = i % 3 == 2 ? i : 0;
        t.on = i == 50 ? "cuda:1+cpu" : NULL;
        t.prefer = i == 51 ? "numa:3" : NULL;
        t.priority = i >= 60 ? (int32_t)i - 80 : 0;
        t.name = i == 70 ? "bad\n" : NULL;
        if (t.name) {
            REFUSED(try_task(t), TG_E_BAD_NAME); /* its attributes must not stay behind for the next */
            t.name = NULL;
            t.retries = t.timeout_ms = 0;
        }
        MUST(tg_graph_add_task(g, &t, NULL, &err));
    }
    MUST(tg_graph_freeze(g, &err));
    for (uint32_t i = 0; i < 100; i++) {
        const struct tgi_attr *a = tgi_graph_attr(g, i);
        bool has = (i % 3 && i != 70) || i == 51;
        assert_int_equal(a != NULL, has);
        assert_int_equal(g->priority[i], i >= 60 ? (int32_t)i - 80 : 0);
        if (!has)
            continue;
        assert_int_equal(a->task, i);
        assert_int_equal(a->retries, i % 3 == 1 ? i : 0);
        assert_int_equal(a->timeout_ms, i % 3 == 2 ? i : 0);
        assert_true(a->on == (i == 50 ? TGI_PLACE_CUDA_AT(1) | TGI_PLACE_CPU : 0));
        assert_true(a->prefer == (i == 51 ? TGI_PLACE_NUMA_AT(3) : 0));
    }
    assert_true(g->class_of[60] < g->class_of[99]);
}

/* Most tasks are given none; those that are still fill the other classes. */
static void few_priorities_among_many_tasks_have_classes_of_their_own(void **state)
{
    (void)state;
    uint32_t n[TGI_N_CLASSES] = {0};
    for (uint32_t i = 0; i < 100; i++) {
        struct tg_task_spec t = TG_TASK_SPEC_INIT;
        t.kind = TG_TASK_BARRIER;
        t.priority = i < 70 ? 0 : (int32_t)i;
        MUST(tg_graph_add_task(g, &t, NULL, &err));
    }
    MUST(tg_graph_freeze(g, &err));
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(i == 0 || g->class_of[i] >= g->class_of[i - 1]);
        n[g->class_of[i]]++;
    }
    assert_int_equal(n[0], 70);
    for (uint32_t c = 1; c < TGI_N_CLASSES; c++)
        assert_int_equal(n[c], 10);
}

static void a_graph_whose_first_task_was_refused_freezes(void **state)
{
    (void)state;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_BARRIER;
    t.priority = 3;
    t.name = "";
    REFUSED(try_task(t), TG_E_BAD_NAME);
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_tasks, 0);
}

static void references_are_formatted_as_files_write_them(void **state)
{
    (void)state;
    char text[64];
    uint32_t range = 0;
    struct tg_arg args[] = {tg_arg_rows(GRID, 4, 1, 3), tg_arg_rows(GRID, 5, 1, 3)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kind = TG_TASK_COPY;
    t.n_args = 2;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    (void)range;
    tgi_space_format_word(g->space, tgi_graph_word(g, 0, 0), text, sizeof text);
    assert_string_equal(text, "grid[1,1]@rows(1:3)");
    tgi_space_format_word(g->space, tgi_graph_word(g, 0, 1), text, sizeof text);
    assert_string_equal(text, "grid[1,2]@rows(1:3)");
    tgi_space_format_word(g->space, (uint64_t)TGI_WORD_ALL << 32 | g->space->buffers[GRID].first_tile, text,
                          sizeof text);
    assert_string_equal(text, "grid[*]");
    tgi_space_format_word(g->space, tgi_graph_word(g, 0, 0), text, 8);
    assert_string_equal(text, "grid[1,");
}

static void errors_may_be_ignored(void **state)
{
    (void)state;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    t.kernel = 99;
    assert_int_equal(tg_graph_add_task(g, &t, NULL, NULL), TG_E_UNKNOWN_KERNEL);
    assert_int_equal(tg_graph_add_edge(g, 0, 0, NULL), TG_E_UNKNOWN_TASK);
    assert_int_equal(tg_graph_stats(g, &(struct tg_graph_stats){0}, NULL), TG_E_NOT_FROZEN);
    tg_graph_destroy(NULL);
}

static void every_status_has_a_text_and_an_exit_code(void **state)
{
    (void)state;
#define CHECK(name, number, exit_code, text)                \
    assert_int_equal(TG_E_##name, -(number));               \
    assert_string_equal(tg_status_text(TG_E_##name), text); \
    assert_int_equal(tg_status_exit_code(TG_E_##name), exit_code);
    TG_STATUS_MAP(CHECK)
#undef CHECK
    assert_string_equal(tg_status_text(0), "ok");
    assert_int_equal(tg_status_exit_code(0), 0);
    assert_string_equal(tg_status_text(-9999), "unknown status");
    assert_int_equal(tg_status_exit_code(-9999), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buffers_that_make_no_sense_are_refused),
        TEST(kernels_that_make_no_sense_are_refused),
        TEST(structs_of_a_size_the_library_does_not_know_are_refused),
        TEST(a_space_holds_a_limited_number_of_tiles),
        TEST(tasks_that_make_no_sense_are_refused),
        TEST(scalars_that_do_not_fit_their_type_are_refused),
        TEST(collectives_that_cannot_be_performed_are_refused),
        TEST(a_frozen_graph_takes_nothing_and_neither_do_bodies_made_of_it),
        TEST(a_failed_freeze_leaves_a_graph_that_can_be_changed),
        TEST(control_tasks_check_their_bodies_and_conditions),
        TEST(what_a_body_touches_orders_its_task),
        TEST(an_empty_body_is_allowed),
        TEST(arguments_left_out_of_a_builtin_have_their_defaults),
        TEST(an_optional_tile_may_be_absent),
        TEST(a_generic_kernel_has_one_instance_for_each_type),
        TEST(declared_parameters_must_match_the_builtin),
        TEST(many_names_are_found_again),
        TEST(attributes_belong_to_their_task),
        TEST(few_priorities_among_many_tasks_have_classes_of_their_own),
        TEST(a_graph_whose_first_task_was_refused_freezes),
        TEST(references_are_formatted_as_files_write_them),
        TEST(errors_may_be_ignored),
        TEST(every_status_has_a_text_and_an_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
