/* Building graphs: bodies, built-in kernels, names and attributes.  test_graph_refusals.c has what is refused. */
#include "tests/small_graph.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
