/* Whether clusters gain as resident kernels: by plans for an H100's workers and times that are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdlib.h>

#include "sched/resident_gain.h"

static const struct tgi_gain_costs costs = TGI_GAIN_COSTS_INIT;

/* `height` rows of `width` tasks, each after the one beside it and the one above it, as far as is asked for. */
struct grid {
    uint32_t width, height;
    bool has_sides, has_ups;
    float body_ns, kernel_ns;
    bool is_timed;
};

struct shaped {
    struct tgi_resident_dag dag;
    uint32_t *succ_at, *succ;
    uint8_t *op;
    uint64_t *arg;
    float *cost_ns, *kernel_ns;
};

static struct shaped shape_of(const struct grid *g)
{
    uint32_t n = g->width * g->height, n_succ = 0;
    struct shaped s = {.succ_at = calloc(n + 1u, sizeof *s.succ_at), .succ = malloc((2 * (size_t)n + 1) * sizeof *s.succ), .op = malloc(n + 1u),
                       .arg = calloc(n + 1u, sizeof *s.arg), .cost_ns = malloc((n + 1u) * sizeof *s.cost_ns),
                       .kernel_ns = malloc((n + 1u) * sizeof *s.kernel_ns)};
    for (uint32_t t = 0; t < n; t++) {
        s.op[t] = TGI_RESIDENT_CALL;
        s.cost_ns[t] = g->body_ns;
        s.kernel_ns[t] = g->kernel_ns;
        if (g->has_sides && (t + 1) % g->width)
            s.succ[n_succ++] = t + 1;
        if (g->has_ups && t + g->width < n)
            s.succ[n_succ++] = t + g->width;
        s.succ_at[t + 1] = n_succ;
    }
    s.dag = (struct tgi_resident_dag){.n_tasks = n, .succ_at = s.succ_at, .succ = s.succ, .op = s.op, .arg = s.arg, .cost_ns = s.cost_ns};
    return s;
}

static void shaped_fini(struct shaped *s)
{
    free(s->succ_at);
    free(s->succ);
    free(s->op);
    free(s->arg);
    free(s->cost_ns);
    free(s->kernel_ns);
}

static struct tgi_gain gain_of(const struct grid *g)
{
    static const struct tgi_resident_shape h100 = {132, 8, 200 << 10, TGI_RESIDENT_WARP};
    struct shaped s = shape_of(g);
    struct tgi_resident_program *p;
    struct tgi_gain gain;
    struct tg_error err;
    if (tgi_resident_plan(&s.dag, &h100, &costs.tasks, &p, &err) ||
        tgi_gain_find(&s.dag, s.kernel_ns, g->is_timed ? s.dag.n_tasks : 0, p->makespan_ns, 1, &costs, &gain, &err))
        fail_msg("%s", err.text);
    tgi_resident_program_destroy(p);
    shaped_fini(&s);
    return gain;
}

static void fine_tasks_that_are_wide_surely_gain(void **state)
{
    (void)state;
    static const struct grid grids[] = {{100, 100, true, true, 225, 0, false},  /* wavefront */
                                        {10000, 1, false, false, 225, 0, false}, /* independent */
                                        {100, 100, false, true, 225, 0, false}};
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        struct tgi_gain g = gain_of(&grids[i]);
        assert_true(tgi_gain_is_sure(&g) && tgi_gain_is_hoped(&g));
        assert_true(g.n_tasks == 10000 && g.n_timed == 0);
        assert_true(g.nodes_ns == 10000 * (double)costs.node_ns);
        assert_true(g.resident_ns >= costs.start_ns && g.worst_ns > g.resident_ns);
    }
}

/* Each node takes 0.8 us, each task half of it if the estimate is right. */
static void a_chain_of_fine_tasks_may_gain(void **state)
{
    (void)state;
    struct tgi_gain g = gain_of(&(struct grid){1, 1000, false, true, 225, 0, false});
    assert_true(g.nodes_ns == 1000 * (double)costs.chain_ns);
    assert_true(!tgi_gain_is_sure(&g) && tgi_gain_is_hoped(&g));
    g = gain_of(&(struct grid){1, 1000, false, true, 100, 0, true}); /* it is right */
    assert_true(tgi_gain_is_sure(&g));
}

/* Tiles whose kernels have a multiprocessor or more each, and a warp takes long for. */
static void coarse_tasks_do_not(void **state)
{
    (void)state;
    struct tgi_gain g = gain_of(&(struct grid){20, 20, true, true, 50000, 0, false});
    assert_false(tgi_gain_is_sure(&g) || tgi_gain_is_hoped(&g));
    g = gain_of(&(struct grid){20, 20, true, true, 50000, 0, true});
    assert_false(tgi_gain_is_sure(&g) || tgi_gain_is_hoped(&g));
    assert_true(tgi_gain_is_coarse(4096));
    assert_false(tgi_gain_is_coarse(256));
}

static void what_was_measured_decides(void **state)
{
    (void)state;
    struct grid grid = {40, 40, true, true, 2000, 0, false};
    struct tgi_gain estimated = gain_of(&grid);
    assert_false(tgi_gain_is_sure(&estimated));
    grid.is_timed = true;
    grid.kernel_ns = 8000; /* kernels that take longer as nodes than a warp does */
    struct tgi_gain timed = gain_of(&grid);
    assert_true(timed.worst_ns < estimated.worst_ns && timed.resident_ns == estimated.resident_ns);
    assert_true(timed.nodes_ns == 79 * (8000 + (double)costs.chain_ns));
    assert_true(tgi_gain_is_sure(&timed));
}

/* A fan with a point in the middle: one node before it, one after it. */
static void points_are_no_nodes(void **state)
{
    (void)state;
    struct shaped s = shape_of(&(struct grid){1, 3, false, true, 100, 0, false});
    struct tgi_gain g, sum = {0};
    s.op[1] = TGI_RESIDENT_EMPTY;
    assert_int_equal(tgi_gain_find(&s.dag, s.kernel_ns, 2, 1000, 1, &costs, &g, NULL), 0);
    assert_true(g.n_tasks == 2 && g.n_timed == 2);
    assert_true(g.nodes_ns == 2 * (double)costs.chain_ns);
    assert_true(g.resident_ns == (double)costs.start_ns + 1000);
    assert_true(g.worst_ns == (double)costs.start_ns + 1000 * TGI_GAIN_WORST_TIMED);
    tgi_gain_add(&sum, &g);
    tgi_gain_add(&sum, &g);
    assert_true(sum.n_tasks == 4 && sum.n_timed == 4 && sum.nodes_ns == 2 * g.nodes_ns && sum.resident_ns == 2 * g.resident_ns &&
                sum.worst_ns == 2 * g.worst_ns);
    shaped_fini(&s);
}

/* An edge between devices takes nodes a hop longer; nodes side by side have all devices. */
static void nodes_on_several_devices_hop(void **state)
{
    (void)state;
    uint8_t device_of[100];
    struct tgi_gain g;
    struct shaped chain = shape_of(&(struct grid){1, 3, false, true, 100, 0, false});
    chain.dag.device_of = device_of;
    device_of[0] = 0, device_of[1] = device_of[2] = 1;
    assert_int_equal(tgi_gain_find(&chain.dag, chain.kernel_ns, 0, 1000, 2, &costs, &g, NULL), 0);
    assert_true(g.nodes_ns == 3 * (double)costs.chain_ns + (double)costs.hop_ns);
    shaped_fini(&chain);
    struct shaped wide = shape_of(&(struct grid){100, 1, false, false, 100, 0, false});
    wide.dag.device_of = device_of;
    for (uint8_t t = 0; t < 100; t++)
        device_of[t] = t % 2;
    assert_int_equal(tgi_gain_find(&wide.dag, wide.kernel_ns, 0, 1000, 2, &costs, &g, NULL), 0);
    assert_true(g.nodes_ns == 50 * (double)costs.node_ns);
    shaped_fini(&wide);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(fine_tasks_that_are_wide_surely_gain), cmocka_unit_test(a_chain_of_fine_tasks_may_gain),
        cmocka_unit_test(coarse_tasks_do_not),                  cmocka_unit_test(what_was_measured_decides),
        cmocka_unit_test(points_are_no_nodes),                  cmocka_unit_test(nodes_on_several_devices_hop),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
