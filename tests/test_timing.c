/* Times of workloads that come from measured ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "sched/timing.h"
#include "tests/plan_graph.h"

/* Three tasks that the graph calls "grow", of 1,000, 4,000 and 16,000 elements; axpy declares 2 operations for each. */
static struct tg_graph *axpys(void)
{
    struct tg_graph *g = plan_graph();
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    struct tg_error err;
    tg_kernel_id kernel;
    spec.name = "grow";
    spec.builtin = "axpy";
    MUST(tg_graph_add_kernel(g, &spec, &kernel, &err));
    for (uint32_t i = 0; i < 3; i++) {
        struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        char name[2][8];
        tg_buffer_id x, y;
        buffer.dtype = TG_F64;
        buffer.n_dims = 1;
        buffer.shape[0] = 1000 << 2 * i;
        buffer.init = TG_INIT_RANDOM;
        buffer.init_seed = 1;
        snprintf(name[0], sizeof name[0], "x%u", i);
        snprintf(name[1], sizeof name[1], "y%u", i);
        buffer.name = name[0];
        MUST(tg_graph_add_buffer(g, &buffer, &x, &err));
        buffer.name = name[1];
        MUST(tg_graph_add_buffer(g, &buffer, &y, &err));
        struct tg_arg args[] = {tg_arg_int(buffer.shape[0]), tg_arg_float(2), tg_arg_tile(x, 0), tg_arg_tile(y, 0)};
        task.kernel = kernel;
        task.n_args = 4;
        task.args = args;
        MUST(tg_graph_add_task(g, &task, NULL, &err));
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static void add_time(struct tgi_machine *m, const char *kernel, const char *arguments, double ns, double together_ns, double flops)
{
    struct tgi_machine_time time = {.median_ns = ns, .together_ns = together_ns, .n_together = 2, .flops = flops, .n_samples = 1};
    struct tg_error err;
    snprintf(time.kernel, sizeof time.kernel, "%s", kernel);
    snprintf(time.arguments, sizeof time.arguments, "%s", arguments);
    MUST(tgi_machine_add_time(m, &time, &err));
}

/* Two lanes that share 10 bytes per ns. */
static void two_lanes(struct tgi_machine *m)
{
    *m = (struct tgi_machine){0};
    plan_add_devices(m, "cpu", 1, 2, 1, 10);
}

/* CPUs, and one GPU with so many lanes, for tgi_machine_fini(); `measured` is a time of the GPU's. */
static void with_a_gpu(struct tgi_machine *m, uint32_t n_lanes, double bytes_per_ns, const struct tgi_machine_time *measured)
{
    struct tg_error err;
    two_lanes(m);
    plan_add_devices(m, "cuda", 1, n_lanes, 100, 1000);
    m->classes[1].kind = TGI_DEVICE_CUDA;
    MUST(tgi_machine_add_time(m, measured, &err));
    plan_join(m, 0, bytes_per_ns, TGI_SHARE_NONE);
}

static void finish(struct tgi_machine *m)
{
    struct tg_error err;
    MUST(tgi_machine_finish(m, &err));
}

static void built_ins_are_known_by_what_they_are(void **state)
{
    (void)state;
    struct tg_graph *g = axpys();
    char text[64];
    tgi_timing_kernel(g, g->nodes[0].op & TGI_NODE_OP, TGI_DEVICE_CPU, text, sizeof text);
    assert_string_equal(text, "builtin axpy f64");
    tg_graph_destroy(g);
}

static void a_size_between_measured_ones_is_interpolated(void **state)
{
    (void)state;
    struct tg_graph *g = axpys();
    struct tgi_machine m;
    two_lanes(&m);
    char arguments[128];
    tgi_workload_signature(g, 0, arguments, sizeof arguments);
    add_time(&m, "builtin axpy f64", "large", 6400, 0, 32000); /* in either order */
    add_time(&m, "builtin axpy f64", arguments, 100, 0, 2000);
    finish(&m);
    struct tgi_workload *w = workload_of(g, &m);
    assert_int_equal(w->n_measured, 1);
    assert_int_equal(w->n_fitted, 2);
    assert_true(w->ns[0] == 100);
    assert_true(fabs(w->ns[1] - 800) < 0.5); /* 4 times the work, of a law with the power 1.5 */
    assert_true(fabs(w->ns[2] - 6400) < 0.5);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void beyond_measured_sizes_the_rate_of_the_last_one_holds(void **state)
{
    (void)state;
    struct tg_graph *g = axpys();
    struct tgi_machine m;
    two_lanes(&m);
    add_time(&m, "builtin axpy f64", "middle", 1000, 0, 8000);
    finish(&m);
    struct tgi_workload *w = workload_of(g, &m);
    assert_int_equal(w->n_fitted, 3);
    assert_true(fabs(w->ns[0] - 250) < 0.1 && fabs(w->ns[2] - 4000) < 0.1);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void the_graphs_own_name_counts_before_the_built_in(void **state)
{
    (void)state;
    struct tg_graph *g = axpys();
    struct tgi_machine m;
    two_lanes(&m);
    add_time(&m, "builtin axpy f64", "*", 100, 0, 0);
    add_time(&m, "grow", "*", 70, 0, 0);
    add_time(&m, "builtin axpy f32", "*", 1, 0, 0);
    finish(&m);
    struct tgi_workload *w = workload_of(g, &m);
    assert_int_equal(w->n_measured, 3);
    assert_true(w->ns[0] == 70);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* Alone 1 ms, beside another one 1.6 ms: so they do in a simulated run, and one after the other they do not. */
static void what_slows_down_together_does_so_in_plans(void **state)
{
    (void)state;
    struct tg_graph *g = axpys();
    struct tgi_machine m;
    two_lanes(&m);
    add_time(&m, "grow", "*", 1e6, 1.6e6, 0);
    finish(&m);
    struct tgi_workload *w = workload_of(g, &m);
    struct tgi_plan *plan = plan_of(w, "eager");
    assert_true(fabs(plan->makespan_ns - 2.6e6) < 1); /* two together, then one alone */
    tgi_plan_destroy(plan);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    two_lanes(&m);
    add_time(&m, "grow", "*", 1e6, 1e6, 0);
    finish(&m);
    w = workload_of(g, &m);
    plan = plan_of(w, "eager");
    assert_true(fabs(plan->makespan_ns - 2e6) < 1);
    tgi_plan_destroy(plan);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* A plan may use CPUs as well; a run does not. */
static void runs_put_on_devices_what_they_can_do(void **state)
{
    (void)state;
    struct tg_graph *g = axpys();
    struct tgi_machine m;
    struct tgi_workload *w;
    struct tg_error err;
    struct tgi_machine_time time = {.kernel = "builtin axpy f64", .arguments = "*", .class = 1, .median_ns = 50, .n_samples = 1};
    with_a_gpu(&m, 1, 1, &time);
    w = workload_of(g, &m);
    assert_int_equal(w->n_measured, 0); /* nothing is known of them on CPUs */
    assert_false(isinf(w->ns[0]));
    tgi_workload_destroy(w);
    MUST(tgi_workload_create_as_run(g, &m, TGI_RUN_ON_STREAMS, &w, &err));
    assert_int_equal(w->n_measured, 3);
    assert_true(isinf(w->ns[0]) && w->ns[1] == 50);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* Three tasks of 1000 ns on a device with six lanes: all at once if they leave room for each other, else one after the other. */
static void lanes_of_a_device_are_of_use_to_tasks_that_leave_room(void **state)
{
    (void)state;
    static const struct {
        double together_ns, makespan_ns;
        uint32_t n_together;
    } cases[] = {{1000, 1000, 6}, {6000, 3000, 6}, {3000, 1500, 6}, {0, 3000, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = axpys();
        struct tgi_machine m;
        struct tgi_workload *w;
        struct tg_error err;
        struct tgi_machine_time time = {.kernel = "builtin axpy f64", .arguments = "*", .class = 1, .median_ns = 1000, .n_samples = 1,
                                        .together_ns = cases[i].together_ns, .n_together = cases[i].n_together};
        with_a_gpu(&m, 6, 1e9, &time);
        MUST(tgi_workload_create_as_run(g, &m, TGI_RUN_ON_STREAMS, &w, &err));
        struct tgi_plan *plan = plan_of(w, "eager");
        assert_true(fabs(plan->makespan_ns - cases[i].makespan_ns) < 5);
        tgi_plan_destroy(plan);
        tgi_workload_destroy(w);
        tgi_machine_fini(&m);
        tg_graph_destroy(g);
    }
}

/* Inside a CUDA graph a task takes 400 ns, of which 30 were for noting it, and a tenth of the device; one that was not measured there takes what it takes on streams. */
static void tasks_of_graphs_have_times_of_their_own(void **state)
{
    (void)state;
    for (int is_measured = 0; is_measured < 2; is_measured++)
        for (int is_replayed = 0; is_replayed < 2; is_replayed++) {
            struct tg_graph *g = axpys();
            struct tgi_machine m;
            struct tgi_workload *w;
            struct tg_error err;
            struct tgi_machine_time time = {.kernel = "builtin axpy f64", .arguments = "*", .class = 1, .median_ns = 1000, .n_samples = 1,
                                            .together_ns = 3000, .n_together = 6};
            time.beside_ns = is_measured ? 1300 : 0;
            time.shares_lane = is_measured;
            time.copy_launch_ns = is_measured ? 7000 : 0;
            time.graph_ns = is_measured ? 400 : 0;
            time.graph_part = is_measured ? 0.1 : 0;
            with_a_gpu(&m, 6, 1e9, &time);
            m.classes[1].stamp_ns = 30;
            MUST(tgi_workload_create_as_run(g, &m, is_replayed ? TGI_RUN_IN_GRAPH : TGI_RUN_ON_STREAMS, &w, &err));
            assert_int_equal(w->n_replayed, is_measured && is_replayed ? 3 : 0);
            assert_true(w->ns[1] == (is_measured && is_replayed ? 370 : 1000));
            assert_true(w->known_ns[0] == (is_measured ? 1300 : 1000)); /* graphs are recorded in the order of streams */
            assert_true(fabs(w->copy_launch_ns - (is_measured && is_replayed ? 7000 : 0)) < 1);
            assert_true(is_replayed ? w->shares_lane[0] == is_measured : !w->shares_lane);
            assert_true(fabs(w->traffic[1] - (is_measured && is_replayed ? 0.1 * 370 * 1000 : 0.5 * 1000 * 1000)) < 1);
            tgi_workload_destroy(w);
            tgi_machine_fini(&m);
            tg_graph_destroy(g);
        }
}

/* What the host does for a task: enqueuing it takes 9 us.  Files of before they said more count as what is usual; of what nobody has measured,
 * nothing is known. */
static void the_host_does_more_for_a_task_than_enqueue_it(void **state)
{
    (void)state;
    static const struct {
        double enqueue_ns, mark_ns, see_ns, least_ns, most_ns, least_mark_ns, most_mark_ns;
    } cases[] = {{9000, 4000, 2000, 11000, 11000, 4000, 4000}, {9000, 0, 0, 9100, 12000, 1000, 5000}, {0, 0, 0, 0, 0, 1000, 5000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int form = TGI_RUN_ON_STREAMS; form <= TGI_RUN_IN_GRAPH; form++) {
            struct tg_graph *g = axpys();
            struct tgi_machine m;
            struct tgi_workload *w;
            struct tg_error err;
            struct tgi_machine_time time = {.kernel = "builtin axpy f64", .arguments = "*", .class = 1, .median_ns = 1000, .n_samples = 1,
                                            .enqueue_ns = cases[i].enqueue_ns, .mark_ns = cases[i].mark_ns, .see_ns = cases[i].see_ns};
            with_a_gpu(&m, 6, 1e9, &time);
            MUST(tgi_workload_create_as_run(g, &m, (enum tgi_run_form)form, &w, &err));
            assert_true(w->is_recorded == (form == TGI_RUN_RECORDED) && (w->handling == NULL) == (form == TGI_RUN_IN_GRAPH));
            for (uint32_t t = 0; w->handling && t < w->n_tasks; t++) {
                const struct tgi_handling *h = &w->handling[t];
                assert_true(h->ns >= cases[i].least_ns && h->ns <= cases[i].most_ns);
                assert_true(h->mark_ns >= cases[i].least_mark_ns && h->mark_ns <= cases[i].most_mark_ns);
            }
            tgi_workload_destroy(w);
            tgi_machine_fini(&m);
            tg_graph_destroy(g);
        }
}

/* A copy of two rows of a thousand, between tiles of 8 MB. */
static void a_part_of_a_tile_moves_no_more_than_the_part(void **state)
{
    (void)state;
    struct tg_graph *g = plan_graph();
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tgi_machine m;
    struct tg_error err;
    tg_buffer_id b;
    buffer.name = "b";
    buffer.dtype = TG_F64;
    buffer.n_dims = 2;
    buffer.shape[0] = buffer.shape[1] = 1000;
    buffer.n_tile_dims = 1;
    buffer.tiles[0] = 2;
    buffer.init = TG_INIT_ZERO;
    MUST(tg_graph_add_buffer(g, &buffer, &b, &err));
    struct tg_arg args[] = {tg_arg_rows(b, 0, 4, 6), tg_arg_rows(b, 1, 8, 10)};
    task.kind = TG_TASK_COPY;
    task.n_args = 2;
    task.args = args;
    MUST(tg_graph_add_task(g, &task, NULL, &err));
    MUST(tg_graph_freeze(g, &err));
    two_lanes(&m);
    finish(&m);
    struct tgi_workload *w = workload_of(g, &m);
    assert_true(w->traffic[0] == 2 * 2 * 8000);
    assert_int_equal(w->n_fitted, 1); /* the machine's memory is not a guess, and a copy does nothing else */
    assert_true(fabs(w->ns[0] - 3200) < 0.1);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_ins_are_known_by_what_they_are),
        cmocka_unit_test(a_size_between_measured_ones_is_interpolated),
        cmocka_unit_test(beyond_measured_sizes_the_rate_of_the_last_one_holds),
        cmocka_unit_test(the_graphs_own_name_counts_before_the_built_in),
        cmocka_unit_test(runs_put_on_devices_what_they_can_do),
        cmocka_unit_test(lanes_of_a_device_are_of_use_to_tasks_that_leave_room),
        cmocka_unit_test(tasks_of_graphs_have_times_of_their_own),
        cmocka_unit_test(the_host_does_more_for_a_task_than_enqueue_it),
        cmocka_unit_test(a_part_of_a_tile_moves_no_more_than_the_part),
        cmocka_unit_test(what_slows_down_together_does_so_in_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
