#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tests/plan_graph.h"

#define ALMOST(a, b) assert_true(fabs((double)(a) - (double)(b)) <= 1e-6 * (1 + fabs((double)(b))))

/* ---- The example of Topcuoglu, Hariri and Wu ----------------------------------------------*/

static const int heft_times[10][3] = {{14, 16, 9}, {13, 19, 18}, {11, 13, 19}, {13, 8, 17}, {12, 13, 10},
                                      {13, 16, 9}, {7, 15, 11},  {5, 11, 14},  {18, 12, 20}, {21, 7, 16}};
static const int heft_edges[15][3] = {{1, 2, 18}, {1, 3, 12}, {1, 4, 9},  {1, 5, 11}, {1, 6, 14},
                                      {2, 8, 19}, {2, 9, 16}, {3, 7, 23}, {4, 8, 27}, {4, 9, 23},
                                      {5, 9, 13}, {6, 8, 15}, {7, 10, 17}, {8, 10, 11}, {9, 10, 13}};

static struct tg_graph *heft_graph(void)
{
    struct tg_graph *g = plan_graph();
    struct tg_error err;
    tg_buffer_id of_edge[15];
    for (uint32_t e = 0; e < 15; e++)
        of_edge[e] = plan_buffer(g, e, heft_edges[e][2]);
    for (int t = 1; t <= 10; t++) {
        tg_buffer_id buffers[16];
        uint32_t n_out = 0, n = 0;
        char name[16];
        for (uint32_t e = 0; e < 15; e++)
            if (heft_edges[e][0] == t)
                buffers[n++] = of_edge[e];
        n_out = n;
        for (uint32_t e = 0; e < 15; e++)
            if (heft_edges[e][1] == t)
                buffers[n++] = of_edge[e];
        snprintf(name, sizeof name, "n%d", t);
        plan_task(g, plan_kernel_of(g, name, n_out, n - n_out), n, buffers, NAN, NAN, NAN);
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static void heft_machine(struct tgi_machine *m)
{
    static const char *const names[] = {"P1", "P2", "P3"};
    struct tg_error err;
    *m = (struct tgi_machine){0};
    for (int p = 0; p < 3; p++)
        plan_add_devices(m, names[p], 1, 1, 1, 0);
    for (int t = 0; t < 10; t++)
        for (uint32_t p = 0; p < 3; p++) {
            struct tgi_machine_time time = {.arguments = "*", .class = p, .median_ns = heft_times[t][p], .n_samples = 1};
            snprintf(time.kernel, sizeof time.kernel, "n%d", t + 1);
            MUST(tgi_machine_add_time(m, &time, &err));
        }
    plan_join(m, 0, 1, TGI_SHARE_NONE);
}

static void heft_reproduces_the_schedule_of_its_authors(void **state)
{
    (void)state;
    /* By processor, in order, from figure 3 of the paper. */
    static const uint32_t processor_of[10] = {2, 0, 2, 1, 2, 1, 2, 0, 1, 1};
    static const double starts[10] = {0, 27, 9, 18, 28, 26, 38, 57, 56, 73};
    struct tg_graph *g = heft_graph();
    struct tgi_machine m;
    struct tgi_assignment a;
    struct tgi_plan *plan;
    struct tg_error err;
    heft_machine(&m);
    struct tgi_workload *w = workload_of(g, &m);
    assert_int_equal(w->n_measured, 10);
    MUST(tgi_assignment_init(&a, 10, &err));
    MUST(tgi_policy_heft.plan(w, 0, &a, &err));
    ALMOST(a.makespan_ns, 80);
    for (int t = 0; t < 10; t++) {
        assert_int_equal(a.device[t], processor_of[t]);
        ALMOST(a.order[t], starts[t]);
    }
    MUST(tgi_plan_follow(w, &a, &plan, &err));
    ALMOST(plan->makespan_ns, 80);
    tgi_plan_destroy(plan);
    tgi_assignment_fini(&a);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* ---- What the simulator models ------------------------------------------------------------*/

/* n tasks, each reading its own tile, on a machine. */
static struct tg_graph *independent(uint32_t n, double bytes, double flops, double traffic)
{
    struct tg_graph *g = plan_graph();
    struct tg_error err;
    tg_kernel_id kernel = plan_kernel_of(g, "k", 1, 1);
    for (uint32_t i = 0; i < n; i++) {
        tg_buffer_id buffers[2] = {plan_buffer(g, 2 * i, 1), plan_buffer(g, 2 * i + 1, bytes)};
        plan_task(g, kernel, 2, buffers, flops, traffic, NAN);
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static void tasks_share_the_bandwidth_of_their_memory(void **state)
{
    (void)state;
    struct tg_graph *g = independent(4, 1, 100, 600);
    struct tgi_machine m = {0};
    plan_add_devices(&m, "cpu", 1, 4, 1, 10);
    plan_join(&m, 0, 1, TGI_SHARE_LINK);
    struct tgi_workload *w = workload_of(g, &m);
    struct tgi_plan *plan = plan_of(w, "eager");
    /* 2,400 bytes at 10 a ns, where one task alone would take 100 ns. */
    ALMOST(plan->makespan_ns, 240);
    assert_true(tgi_plan_is_valid(w, plan));
    struct tgi_bounds b;
    struct tg_error err;
    MUST(tgi_bounds_find(w, &b, &err));
    assert_int_equal(b.binding, TGI_BOUND_MEMORY);
    ALMOST(tgi_bounds_ns(&b), 240);
    tgi_plan_destroy(plan);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* A machine whose memory 0 has no device, so that everything must move. */
static void remote_machine(struct tgi_machine *m, uint32_t n, double memory_bytes, enum tgi_machine_share share)
{
    struct tgi_machine_memory host = {"host", 0, 0, 0, TG_NONE};
    struct tg_error err;
    *m = (struct tgi_machine){0};
    MUST(tgi_machine_add_memory(m, &host, &err));
    plan_add_devices(m, "gpu", n, 1, 1, 0);
    for (uint32_t i = 1; i <= n; i++)
        m->memories[i].bytes = (uint64_t)memory_bytes;
    plan_join(m, 0, 1, share);
}

static double makespan(const struct tg_graph *g, const struct tgi_machine *m, const char *policy, struct tgi_plan **plan_p)
{
    struct tgi_workload *w = workload_of(g, m);
    struct tgi_plan *plan = plan_of(w, policy);
    double ns = plan->makespan_ns;
    assert_true(tgi_plan_is_valid(w, plan));
    tgi_workload_destroy(w);
    if (plan_p)
        *plan_p = plan;
    else
        tgi_plan_destroy(plan);
    return ns;
}

static void copies_share_ports(void **state)
{
    (void)state;
    struct tg_graph *g = independent(2, 1000, 10, 0);
    struct tgi_machine m;
    remote_machine(&m, 2, 0, TGI_SHARE_PORTS);
    ALMOST(makespan(g, &m, "eager", NULL), 2010); /* both leave through the port of memory 0 */
    tgi_machine_fini(&m);
    remote_machine(&m, 2, 0, TGI_SHARE_LINK);
    ALMOST(makespan(g, &m, "eager", NULL), 1010);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void copies_overlap_with_computing(void **state)
{
    (void)state;
    struct tg_graph *g = independent(10, 100, 100, 0);
    struct tgi_machine m;
    remote_machine(&m, 1, 0, TGI_SHARE_LINK);
    double ns = makespan(g, &m, "eager", NULL);
    assert_true(ns >= 1100 && ns <= 1300); /* 2,000 one after the other */
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static struct tg_graph *readers_of_one_with(uint32_t n, double bytes, enum tg_init init)
{
    struct tg_graph *g = plan_graph();
    struct tg_error err;
    tg_kernel_id kernel = plan_kernel_of(g, "k", 1, 1);
    tg_buffer_id shared = plan_buffer_with(g, n, bytes, init);
    for (uint32_t i = 0; i < n; i++) {
        tg_buffer_id buffers[2] = {plan_buffer(g, i, 1), shared};
        plan_task(g, kernel, 2, buffers, 10, 0, NAN);
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static struct tg_graph *readers_of_one(uint32_t n, double bytes) { return readers_of_one_with(n, bytes, TG_INIT_RANDOM); }

/* Each of two devices writes zeroes itself, or has them copied. */
static void what_begins_with_one_value_is_not_moved(void **state)
{
    static const char *const policies[] = {"eager", "steal", "heft", "bandwidth"};
    (void)state;
    struct tg_graph *g = readers_of_one_with(20, 1000, TG_INIT_ZERO);
    struct tgi_machine m;
    struct tgi_plan *plan;
    struct tgi_workload *w;
    struct tgi_bounds bounds;
    struct tg_error err;
    remote_machine(&m, 2, 0, TGI_SHARE_LINK);
    MUST(tgi_workload_create(g, &m, &w, &err));
    MUST(tgi_bounds_find(w, &bounds, &err));
    assert_true(bounds.ns[TGI_BOUND_LINKS] == 0);
    tgi_workload_destroy(w);
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        double filled = makespan(g, &m, policies[i], &plan);
        assert_int_equal(plan->moved_bytes, 0);
        assert_int_equal(plan->n_copies, 0);
        tgi_plan_destroy(plan);
        setenv("TGRAPH_INIT", "host", 1);
        double moved = makespan(g, &m, policies[i], &plan);
        unsetenv("TGRAPH_INIT");
        assert_true(plan->moved_bytes >= 1000 && plan->moved_bytes <= 2000);
        assert_true(moved > filled + 900);
        tgi_plan_destroy(plan);
    }
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* What a task has written is moved, whatever it was before. */
static void what_has_been_written_is_moved(void **state)
{
    (void)state;
    struct tg_graph *g = plan_graph();
    struct tgi_machine m;
    struct tgi_plan *plan;
    struct tg_error err;
    tg_kernel_id write = plan_kernel_of(g, "write", 1, 0), read = plan_kernel_of(g, "read", 1, 1);
    tg_buffer_id shared = plan_buffer_with(g, 0, 1000, TG_INIT_ZERO);
    plan_task(g, write, 1, &shared, 10, 0, NAN);
    for (uint32_t i = 1; i <= 2; i++) {
        tg_buffer_id buffers[2] = {plan_buffer(g, i, 1), shared};
        plan_task(g, read, 2, buffers, 100000, 0, NAN);
    }
    MUST(tg_graph_freeze(g, &err));
    remote_machine(&m, 2, 0, TGI_SHARE_LINK);
    makespan(g, &m, "eager", &plan);
    assert_int_equal(plan->moved_bytes, 1000);
    tgi_plan_destroy(plan);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void a_valid_copy_is_not_moved_again(void **state)
{
    (void)state;
    struct tg_graph *g = readers_of_one(20, 1000);
    struct tgi_machine m;
    struct tgi_plan *plan;
    remote_machine(&m, 2, 0, TGI_SHARE_LINK);
    makespan(g, &m, "eager", &plan);
    assert_int_equal(plan->moved_bytes, 2000);
    assert_int_equal(plan->n_copies, 2);
    tgi_plan_destroy(plan);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* The tile that all read stays where it is from one start to the next; what tasks write comes anew. */
static void what_nobody_writes_is_there_when_a_run_is_repeated(void **state)
{
    (void)state;
    struct tg_graph *g = readers_of_one(20, 1000);
    struct tgi_machine m;
    struct tgi_plan *plan;
    struct tgi_workload *w;
    struct tg_error err;
    struct tgi_bounds before, after;
    double first, later;
    remote_machine(&m, 2, 0, TGI_SHARE_LINK);
    first = makespan(g, &m, "eager", NULL);
    MUST(tgi_workload_create(g, &m, &w, &err));
    MUST(tgi_bounds_find(w, &before, &err));
    MUST(tgi_workload_stay(w, &err));
    MUST(tgi_bounds_find(w, &after, &err));
    assert_true(before.ns[TGI_BOUND_LINKS] > 0);
    assert_true(after.ns[TGI_BOUND_LINKS] == 0);
    MUST(tgi_plan_create(w, tgi_policy_find("eager"), &plan, &err));
    later = plan->makespan_ns;
    assert_int_equal(plan->moved_bytes, 0);
    assert_true(tgi_plan_is_valid(w, plan));
    assert_true(later < first - 900);
    tgi_plan_destroy(plan);
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void clean_copies_leave_a_full_memory(void **state)
{
    (void)state;
    struct tg_graph *g = independent(20, 1000, 10, 0);
    struct tgi_machine m;
    struct tgi_plan *plan;
    remote_machine(&m, 1, 4100, TGI_SHARE_LINK);
    makespan(g, &m, "eager", &plan);
    assert_true(plan->peak_bytes[1] <= 4100);
    assert_true(plan->n_evicted >= 16);
    assert_int_equal(plan->over, TG_NONE);
    tgi_plan_destroy(plan);
    tgi_machine_fini(&m);
    remote_machine(&m, 1, 900, TGI_SHARE_LINK);
    makespan(g, &m, "eager", &plan);
    assert_int_not_equal(plan->over, TG_NONE); /* and who does not fit is named */
    tgi_plan_destroy(plan);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void results_are_written_back_before_they_leave(void **state)
{
    (void)state;
    struct tg_graph *g = plan_graph();
    struct tg_error err;
    tg_kernel_id make = plan_kernel_of(g, "make", 1, 0), use = plan_kernel_of(g, "use", 1, 1);
    tg_buffer_id all[9];
    struct tgi_machine m;
    struct tgi_plan *plan;
    all[0] = plan_buffer(g, 99, 1);
    for (uint32_t i = 0; i < 8; i++) {
        all[1 + i] = plan_buffer(g, i, 1000);
        plan_task(g, make, 1, &all[1 + i], 10, 0, NAN);
    }
    plan_task(g, use, 2, all, 10, 0, NAN);
    MUST(tg_graph_freeze(g, &err));
    remote_machine(&m, 1, 3500, TGI_SHARE_LINK);
    makespan(g, &m, "eager", &plan);
    assert_true(plan->spilled_bytes >= 4000);
    assert_true(plan->peak_bytes[1] <= 3500);
    tgi_plan_destroy(plan);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void idle_devices_steal_unless_moving_takes_longer(void **state)
{
    (void)state;
    struct tg_graph *near = readers_of_one(64, 1), *far = readers_of_one(8, 1e6);
    struct tgi_machine m;
    struct tgi_plan *plan;
    remote_machine(&m, 4, 0, TGI_SHARE_LINK);
    double ns = makespan(near, &m, "steal", &plan);
    assert_true(ns < 64 * 10 / 4 + 40);
    assert_int_equal(plan->n_run[0] + plan->n_run[1] + plan->n_run[2] + plan->n_run[3], 64);
    tgi_plan_destroy(plan);
    makespan(far, &m, "steal", &plan);
    tgi_plan_destroy(plan);
    tgi_machine_fini(&m);
    tg_graph_destroy(near);
    tg_graph_destroy(far);
}

static void plans_are_the_same_every_time(void **state)
{
    (void)state;
    struct tg_graph *g = heft_graph();
    struct tgi_machine m;
    heft_machine(&m);
    for (uint32_t i = 0; tgi_policies[i]; i++) {
        struct tgi_plan *a, *b;
        makespan(g, &m, tgi_policies[i]->name, &a);
        makespan(g, &m, tgi_policies[i]->name, &b);
        assert_memory_equal(a->start, b->start, 10 * sizeof *a->start);
        assert_memory_equal(a->device, b->device, 10 * sizeof *a->device);
        tgi_plan_destroy(a);
        tgi_plan_destroy(b);
    }
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* ---- Bounds -------------------------------------------------------------------------------*/

static double area(uint32_t n_kinds, uint32_t n_classes, const double *count, const double *ns, const double *lanes, double *gap_p)
{
    double t;
    struct tg_error err;
    MUST(tgi_bounds_area(n_kinds, n_classes, count, ns, lanes, &t, gap_p, &err));
    return t;
}

static void area_of_known_programs(void **state)
{
    (void)state;
    double gap, one[] = {10}, lanes1[] = {4, 0}, ns1[] = {3, INFINITY};
    ALMOST(area(1, 2, one, ns1, lanes1, &gap), 7.5);
    /* Two kinds, two classes: each kind on the class that suits it, then what balances them. */
    double count[] = {10, 10}, ns[] = {1, 4, 4, 1}, lanes[] = {1, 1};
    ALMOST(area(2, 2, count, ns, lanes, &gap), 10);
    double uneven[] = {20, 10}; /* 20 - x = 10 + 4x */
    ALMOST(area(2, 2, uneven, ns, lanes, &gap), 18);
    double three[] = {6}, ns3[] = {1, 2, 3}, lanes3[] = {1, 1, 1};
    ALMOST(area(1, 3, three, ns3, lanes3, &gap), 6 / (1 + 1.0 / 2 + 1.0 / 3));
}

static void area_reaches_the_optimum_of_random_programs(void **state)
{
    (void)state;
    struct dice d = {test_seed(11)};
    for (int round = 0; round < ROUNDS(500); round++) {
        uint32_t n_kinds = 1 + roll(&d, 40), n_classes = 1 + roll(&d, 5);
        double count[40], ns[200], lanes[5], gap;
        for (uint32_t c = 0; c < n_classes; c++)
            lanes[c] = 1 + roll(&d, 16);
        for (uint32_t k = 0; k < n_kinds; k++) {
            count[k] = 1 + roll(&d, 100);
            for (uint32_t c = 0; c < n_classes; c++)
                ns[k * n_classes + c] = c && roll(&d, 5) == 0 ? INFINITY : 1 + roll(&d, 1000);
        }
        area(n_kinds, n_classes, count, ns, lanes, &gap);
        assert_true(gap < 1e-6); /* primal and dual agree, so neither can be better */
    }
}

/* The shortest of all assignments in all orders. */
struct search {
    const struct tgi_workload *w;
    struct tgi_assignment a;
    double best;
};

static void try_order(struct search *s, uint32_t at, uint32_t used)
{
    struct tgi_plan *plan;
    struct tg_error err;
    if (at == s->w->n_tasks) {
        MUST(tgi_plan_follow(s->w, &s->a, &plan, &err));
        s->best = plan->makespan_ns < s->best ? plan->makespan_ns : s->best;
        tgi_plan_destroy(plan);
        return;
    }
    for (uint32_t t = 0; t < s->w->n_tasks; t++) {
        if (used >> t & 1)
            continue;
        s->a.order[t] = at;
        try_order(s, at + 1, used | 1u << t);
    }
}

static void try_devices(struct search *s, uint32_t task)
{
    if (task == s->w->n_tasks) {
        try_order(s, 0, 0);
        return;
    }
    for (uint32_t d = 0; d < s->w->machine->n_devices; d++) {
        s->a.device[task] = d;
        try_devices(s, task + 1);
    }
}

static struct tg_graph *small_graph(struct dice *d, uint32_t n)
{
    struct tg_graph *g = plan_graph();
    struct tg_error err;
    tg_buffer_id of[8];
    char name[16];
    for (uint32_t t = 0; t < n; t++) {
        tg_buffer_id buffers[8] = {of[t] = plan_buffer(g, t, 1 + roll(d, 200))};
        uint32_t n_used = 1;
        for (uint32_t p = 0; p < t; p++)
            if (roll(d, 3) == 0)
                buffers[n_used++] = of[p];
        snprintf(name, sizeof name, "k%u", t);
        if (n_used == 1 && roll(d, 2))
            buffers[n_used++] = plan_buffer(g, 100 + t, 1 + roll(d, 200));
        plan_task(g, plan_kernel_of(g, name, 1, n_used - 1), n_used, buffers, 1 + roll(d, 300), roll(d, 300), NAN);
    }
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static void no_schedule_of_all_beats_the_bounds(void **state)
{
    (void)state;
    struct dice d = {test_seed(5)};
    double tightest = 0;
    for (int round = 0; round < ROUNDS(60); round++) {
        uint32_t n = 3 + roll(&d, 3);
        struct tg_graph *g = small_graph(&d, n);
        struct tgi_machine m = {0};
        struct tgi_bounds b;
        struct tg_error err;
        if (round % 3 == 0)
            remote_machine(&m, 2, 0, round % 2 ? TGI_SHARE_PORTS : TGI_SHARE_LINK);
        else {
            plan_add_devices(&m, "a", 1, 1 + roll(&d, 2), 1, 2);
            plan_add_devices(&m, "b", 1, 1, 1 + roll(&d, 3), 3);
            plan_join(&m, 1, 4, TGI_SHARE_LINK);
        }
        struct search s = {workload_of(g, &m), {0}, INFINITY};
        MUST(tgi_assignment_init(&s.a, n, &err));
        MUST(tgi_bounds_find(s.w, &b, &err));
        try_devices(&s, 0);
        assert_true(tgi_bounds_ns(&b) <= s.best * (1 + 1e-9));
        tightest = tgi_bounds_ns(&b) / s.best > tightest ? tgi_bounds_ns(&b) / s.best : tightest;
        tgi_assignment_fini(&s.a);
        tgi_workload_destroy((struct tgi_workload *)s.w);
        tgi_machine_fini(&m);
        tg_graph_destroy(g);
    }
    assert_true(tightest > 0.8); /* and they say something */
}

/* Two lanes that share a memory: tasks that ask for all of it, then as many that ask for none.  Two of the first kind at a time take
 * twice as long, so the shortest schedule has one of each at a time. */
static void memory_bound_tasks_run_beside_others_under_bandwidth(void **state)
{
    (void)state;
    enum { N = 20 };
    struct tg_graph *g = plan_graph();
    struct tgi_machine m = {.name = "shared"};
    struct tg_error err;
    tg_kernel_id kernel = plan_kernel_of(g, "k", 1, 0);
    double makespan[3];
    for (uint32_t i = 0; i < 2 * N; i++) {
        tg_buffer_id b = plan_buffer(g, i, 8);
        plan_task(g, kernel, 1, &b, i < N ? 1 : 10000, i < N ? 10000 : 1, NAN);
    }
    MUST(tg_graph_freeze(g, &err));
    plan_add_devices(&m, "cpu", 1, 2, 1, 1);
    MUST(tgi_machine_finish(&m, &err));
    struct tgi_workload *w = workload_of(g, &m);
    static const char *const policies[] = {"eager", "heft", "bandwidth"};
    for (int i = 0; i < 3; i++) {
        struct tgi_plan *plan = plan_of(w, policies[i]);
        assert_true(tgi_plan_is_valid(w, plan));
        makespan[i] = plan->makespan_ns;
        tgi_plan_destroy(plan);
    }
    assert_true(makespan[0] > 1.15 * makespan[2] && makespan[1] > 1.15 * makespan[2]);
    assert_true(makespan[2] < 1.1 * N * 10000); /* which no schedule beats by much */
    tgi_workload_destroy(w);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heft_reproduces_the_schedule_of_its_authors),
        cmocka_unit_test(tasks_share_the_bandwidth_of_their_memory),
        cmocka_unit_test(copies_share_ports),
        cmocka_unit_test(copies_overlap_with_computing),
        cmocka_unit_test(what_begins_with_one_value_is_not_moved),
        cmocka_unit_test(what_has_been_written_is_moved), cmocka_unit_test(a_valid_copy_is_not_moved_again),
        cmocka_unit_test(what_nobody_writes_is_there_when_a_run_is_repeated),
        cmocka_unit_test(clean_copies_leave_a_full_memory),
        cmocka_unit_test(results_are_written_back_before_they_leave),
        cmocka_unit_test(idle_devices_steal_unless_moving_takes_longer),
        cmocka_unit_test(plans_are_the_same_every_time),
        cmocka_unit_test(area_of_known_programs),
        cmocka_unit_test(area_reaches_the_optimum_of_random_programs),
        cmocka_unit_test(no_schedule_of_all_beats_the_bounds),
        cmocka_unit_test(memory_bound_tasks_run_beside_others_under_bandwidth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
