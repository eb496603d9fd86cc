/* Policies against each other and against bounds on a corpus of 1,000 graphs; see corpus_graph(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tests/plan_graph.h"

/* ---- Graphs -------------------------------------------------------------------------------*/

enum { MAX_PREDS = 8, N_GRAPHS = 1000 };

struct corpus {
    struct tg_graph *g;
    struct dice *dice;
    tg_kernel_id kernels[MAX_PREDS + 1]; /* by number of inputs */
    bool has_kernel[MAX_PREDS + 1];
    tg_buffer_id *of; /* by task: what it writes */
    uint32_t n, n_room;
    double ccr;       /* time of a copy at 1 byte a ns to time of a task */
    double memory;    /* bytes through memory for each operation, at most */
};

static uint32_t add(struct corpus *c, double flops, uint32_t n_preds, const uint32_t *preds)
{
    tg_buffer_id buffers[MAX_PREDS + 1];
    char name[8];
    if (c->n == c->n_room)
        c->of = realloc(c->of, (c->n_room = 2 * c->n_room + 64) * sizeof *c->of);
    snprintf(name, sizeof name, "k%u", n_preds);
    if (!c->has_kernel[n_preds])
        c->kernels[n_preds] = plan_kernel_of(c->g, name, 1, n_preds);
    c->has_kernel[n_preds] = true;
    buffers[0] = c->of[c->n] = plan_buffer(c->g, c->n, flops * c->ccr);
    for (uint32_t i = 0; i < n_preds; i++)
        buffers[1 + i] = c->of[preds[i]];
    plan_task(c->g, c->kernels[n_preds], 1 + n_preds, buffers, flops, flops * c->memory * roll(c->dice, 100) / 100, NAN);
    return c->n++;
}

static double some_flops(struct corpus *c) { return 500 + roll(c->dice, 1000); }

static void layered(struct corpus *c, uint32_t n_layers, uint32_t width)
{
    uint32_t first = 0, n_before = 0;
    for (uint32_t l = 0; l < n_layers; l++) {
        uint32_t n = 1 + roll(c->dice, width), begin = c->n;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t preds[MAX_PREDS], n_preds = n_before ? 1 + roll(c->dice, 3) : 0, used = 0;
            for (uint32_t k = 0; k < n_preds && k < n_before; k++)
                preds[used++] = first + (i + k * 7) % n_before;
            for (uint32_t k = 1; k < used; k++)
                if (preds[k] == preds[0])
                    used = 1;
            if (used == 3 && preds[1] == preds[2])
                used = 2;
            add(c, some_flops(c), used, preds);
        }
        first = begin;
        n_before = n;
    }
}

static void tree(struct corpus *c, uint32_t n_leaves)
{
    uint32_t first = 0, n = n_leaves;
    for (uint32_t i = 0; i < n_leaves; i++)
        add(c, some_flops(c), 0, NULL);
    while (n > 1) {
        uint32_t begin = c->n;
        for (uint32_t i = 0; i + 1 < n; i += 2)
            add(c, some_flops(c), 2, (uint32_t[]){first + i, first + i + 1});
        if (n % 2)
            add(c, some_flops(c), 1, &(uint32_t){first + n - 1});
        first = begin;
        n = (n + 1) / 2;
    }
}

static void fft(struct corpus *c, uint32_t log_n)
{
    uint32_t n = 1u << log_n;
    for (uint32_t i = 0; i < n; i++)
        add(c, 1000, 0, NULL);
    for (uint32_t l = 0; l < log_n; l++)
        for (uint32_t i = 0; i < n; i++)
            add(c, 1000, 2, (uint32_t[]){l * n + i, l * n + (i ^ 1u << l)});
}

static void stencil(struct corpus *c, uint32_t width, uint32_t steps)
{
    for (uint32_t s = 0; s < steps; s++)
        for (uint32_t i = 0; i < width; i++) {
            uint32_t at = (s - 1) * width, preds[3] = {at + i, at + (i + 1) % width, at + (i + width - 1) % width};
            add(c, 1000, s ? 3 : 0, preds);
        }
}

/* Last writers of the tiles of a matrix. */
static void factorise(struct corpus *c, uint32_t n, bool is_lu)
{
    uint32_t last[16 * 16];
    for (uint32_t i = 0; i < n * n; i++)
        last[i] = add(c, 100, 0, NULL);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t diagonal = last[k * n + k] = add(c, 400, 1, &last[k * n + k]);
        for (uint32_t m = k + 1; m < n; m++) {
            last[m * n + k] = add(c, 1000, 2, (uint32_t[]){last[m * n + k], diagonal});
            if (is_lu)
                last[k * n + m] = add(c, 1000, 2, (uint32_t[]){last[k * n + m], diagonal});
        }
        for (uint32_t m = k + 1; m < n; m++)
            for (uint32_t j = k + 1; j <= (is_lu ? n - 1 : m); j++) {
                uint32_t right = is_lu ? last[k * n + j] : last[j * n + k], here = last[m * n + j], left = last[m * n + k];
                last[m * n + j] = left == right ? add(c, 1000, 2, (uint32_t[]){here, left})
                                                : add(c, 2000, 3, (uint32_t[]){here, left, right});
            }
    }
}

/* Several waves of many tasks between few, as scientific workflows have them. */
static void workflow(struct corpus *c, uint32_t n_waves, uint32_t width)
{
    uint32_t join = add(c, some_flops(c), 0, NULL);
    for (uint32_t w = 0; w < n_waves; w++) {
        uint32_t n = 4 + roll(c->dice, width), first = c->n, level = n;
        for (uint32_t i = 0; i < n; i++)
            add(c, some_flops(c) * (1 + roll(c->dice, 4)), 1, &join);
        while (level > 1) {
            uint32_t begin = c->n;
            for (uint32_t i = 0; i < level; i += MAX_PREDS) {
                uint32_t preds[MAX_PREDS], used = 0;
                while (used < MAX_PREDS && i + used < level) {
                    preds[used] = first + i + used;
                    used++;
                }
                add(c, some_flops(c), used, preds);
            }
            first = begin;
            level = c->n - begin;
        }
        join = first;
    }
}

static struct tg_graph *corpus_graph(struct dice *d, uint32_t number)
{
    static const double ratios[] = {0.05, 0.2, 0.5, 1, 2, 5};
    struct corpus c = {.g = plan_graph(), .dice = d, .ccr = ratios[number / 7 % 6], .memory = number / 42 % 2 ? 4 : 0.5};
    struct tg_error err;
    switch (number % 7) {
    case 0: layered(&c, 5 + roll(d, 15), 4 + roll(d, 12)); break;
    case 1: tree(&c, 16 + roll(d, 80)); break;
    case 2: fft(&c, 3 + roll(d, 3)); break;
    case 3: factorise(&c, 4 + roll(d, 5), false); break;
    case 4: factorise(&c, 3 + roll(d, 4), true); break;
    case 5: stencil(&c, 4 + roll(d, 12), 4 + roll(d, 12)); break;
    default: workflow(&c, 1 + roll(d, 4), 4 + roll(d, 28));
    }
    free(c.of);
    MUST(tg_graph_freeze(c.g, &err));
    return c.g;
}

/* Equal devices, unequal ones, and a host of several lanes beside two fast devices. */
static void corpus_machine(struct tgi_machine *m, uint32_t number)
{
    *m = (struct tgi_machine){0};
    switch (number / 84 % 3) {
    case 0:
        plan_add_devices(m, "gpu", 4, 1, 1, 10);
        plan_join(m, 5, 1, TGI_SHARE_PORTS);
        break;
    case 1:
        plan_add_devices(m, "slow", 2, 1, 0.5, 4);
        plan_add_devices(m, "fast", 2, 1, 2, 10);
        plan_join(m, 5, 1, TGI_SHARE_LINK);
        break;
    default:
        plan_add_devices(m, "cpu", 1, 4, 0.5, 2);
        plan_add_devices(m, "gpu", 2, 1, 4, 20);
        plan_join(m, 5, 1, TGI_SHARE_LINK);
    }
}

/* ---- The corpus ---------------------------------------------------------------------------*/

/* The shorter of the plans that `bandwidth` makes itself, without that of heft and without rivals. */
static double aware_ns(const struct tgi_workload *w)
{
    struct tgi_assignment a;
    struct tg_error err;
    double best = INFINITY;
    MUST(tgi_assignment_init(&a, w->n_tasks, &err));
    for (uint32_t variant = 0; variant < 2; variant++) {
        struct tgi_plan *plan;
        MUST(tgi_policy_bandwidth.plan(w, variant, &a, &err));
        MUST(tgi_plan_follow(w, &a, &plan, &err));
        assert_true(tgi_plan_is_valid(w, plan));
        best = plan->makespan_ns < best ? plan->makespan_ns : best;
        tgi_plan_destroy(plan);
    }
    tgi_assignment_fini(&a);
    return best;
}

static void no_plan_is_much_worse_than_eager(void **state)
{
    (void)state;
    struct dice d = {test_seed(1)};
    uint32_t n = ROUNDS(N_GRAPHS), n_best = 0, n_own[2] = {0, 0}, n_aware = 0;
    double worst[2] = {0, 0}, worst_aware = 0, over_bound = 0, gain = 0, own_gain = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct tg_graph *g = corpus_graph(&d, i);
        struct tgi_machine m;
        struct tgi_bounds b;
        struct tg_error err;
        double ns[4], best = INFINITY;
        corpus_machine(&m, i);
        struct tgi_workload *w = workload_of(g, &m);
        MUST(tgi_bounds_find(w, &b, &err));
        for (uint32_t p = 0; p < 4; p++) {
            struct tgi_plan *plan = plan_of(w, tgi_policies[p]->name);
            ns[p] = plan->makespan_ns;
            best = ns[p] < best ? ns[p] : best;
            assert_true(tgi_plan_is_valid(w, plan));
            assert_true(tgi_bounds_ns(&b) <= ns[p] * (1 + 1e-9));
            if (p >= 2)
                n_own[p - 2] += strcmp(plan->chosen, plan->policy) == 0;
            tgi_plan_destroy(plan);
        }
        for (uint32_t p = 2; p < 4; p++)
            worst[p - 2] = ns[p] / ns[0] > worst[p - 2] ? ns[p] / ns[0] : worst[p - 2];
        double aware = aware_ns(w);
        worst_aware = aware / ns[0] > worst_aware ? aware / ns[0] : worst_aware;
        n_aware += aware <= 1.01 * best;
        n_best += ns[3] <= 1.01 * best;
        over_bound += ns[3] / tgi_bounds_ns(&b);
        gain += log(ns[0] / ns[3]);
        own_gain += log(ns[2] / ns[3]);
        tgi_workload_destroy(w);
        tgi_machine_fini(&m);
        tg_graph_destroy(g);
    }
    printf("%u graphs: worst to eager: heft %.3f, bandwidth %.3f; bandwidth best or within 1 %% on %.1f %%, its own plan on"
           " %.1f %%, heft's own on %.1f %%; %.2f times the bound on average; eager takes %.2f times as long, heft %.3f\n",
           n, worst[0], worst[1], 100.0 * n_best / n, 100.0 * n_own[1] / n, 100.0 * n_own[0] / n, over_bound / n, exp(gain / n),
           exp(own_gain / n));
    printf("without its rivals and the plan of heft: bandwidth best or within 1 %% on %.1f %%, worst to eager %.3f\n",
           100.0 * n_aware / n, worst_aware);
    assert_true(worst[0] <= 1.02 && worst[1] <= 1.02);
    assert_true(n_best >= 0.9 * n);
}

/* ---- Without communication ----------------------------------------------------------------*/

/* Random graphs as those of the Standard Task Graph set: layers, and edges between any two of different layers. */
static struct tg_graph *standard_graph(struct dice *d, uint32_t n)
{
    struct corpus c = {.g = plan_graph(), .dice = d};
    struct tg_error err;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t preds[MAX_PREDS], used = 0, n_preds = roll(d, 4);
        for (uint32_t k = 0; k < n_preds && t > 30; k++) {
            uint32_t p = roll(d, t - 30 + 1);
            bool is_new = true;
            for (uint32_t i = 0; i < used; i++)
                is_new = is_new && preds[i] != p;
            if (is_new)
                preds[used++] = p;
        }
        add(&c, 1 + roll(d, 20), used, preds);
    }
    free(c.of);
    MUST(tg_graph_freeze(c.g, &err));
    return c.g;
}

static void lists_come_close_to_the_bound_without_communication(void **state)
{
    (void)state;
    struct dice d = {test_seed(2)};
    for (uint32_t n_processors = 2; n_processors <= 16; n_processors *= 2) {
        double sum = 0, most = 0;
        uint32_t n = ROUNDS(100);
        for (uint32_t i = 0; i < n; i++) {
            struct tg_graph *g = standard_graph(&d, 200 + roll(&d, 300));
            struct tgi_machine m = {0};
            struct tgi_bounds b;
            struct tg_error err;
            plan_add_devices(&m, "cpu", 1, n_processors, 1, 0);
            plan_join(&m, 0, 1, TGI_SHARE_NONE);
            struct tgi_workload *w = workload_of(g, &m);
            struct tgi_plan *plan = plan_of(w, "heft");
            MUST(tgi_bounds_find(w, &b, &err));
            double ratio = plan->makespan_ns / tgi_bounds_ns(&b);
            assert_true(ratio >= 1 - 1e-9);
            sum += ratio;
            most = ratio > most ? ratio : most;
            tgi_plan_destroy(plan);
            tgi_workload_destroy(w);
            tgi_machine_fini(&m);
            tg_graph_destroy(g);
        }
        printf("%2u processors: heft %.2f %% above the bound on average, %.2f %% at most\n", n_processors,
               100 * (sum / n - 1), 100 * (most - 1));
        assert_true(sum / n <= 1.02);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_plan_is_much_worse_than_eager),
        cmocka_unit_test(lists_come_close_to_the_bound_without_communication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
