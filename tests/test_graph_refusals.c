/* What does not make sense is refused with a status and a text, and leaves the graph as it was. */
#include "tests/small_graph.h"

#include <math.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buffers_that_make_no_sense_are_refused),
        TEST(structs_of_a_size_the_library_does_not_know_are_refused),
        TEST(a_space_holds_a_limited_number_of_tiles),
        TEST(kernels_that_make_no_sense_are_refused),
        TEST(tasks_that_make_no_sense_are_refused),
        TEST(scalars_that_do_not_fit_their_type_are_refused),
        TEST(collectives_that_cannot_be_performed_are_refused),
        TEST(a_frozen_graph_takes_nothing_and_neither_do_bodies_made_of_it),
        TEST(a_failed_freeze_leaves_a_graph_that_can_be_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
