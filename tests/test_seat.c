/* A thread that executes a run works where no worker does. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "sched/runtime.h"
#include "tests/random_graph.h"

static struct tg_error err;
static _Atomic int seen_cpu;
static _Atomic bool is_holding, may_end;

static int note_cpu(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    atomic_store(&seen_cpu, sched_getcpu());
    return 0;
}

static int hold(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    atomic_store(&is_holding, true);
    while (!atomic_load(&may_end))
        sched_yield();
    return 0;
}

static struct tg_graph *graph_of_one(tg_cpu_fn fn)
{
    struct tg_graph *g;
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    MUST(tg_graph_create("one", &g, &err));
    k.name = "k";
    k.cpu = fn;
    MUST(tg_graph_add_kernel(g, &k, &t.kernel, &err));
    MUST(tg_graph_add_task(g, &t, NULL, &err));
    MUST(tg_graph_freeze(g, &err));
    return g;
}

static void go_to(const struct tg_runtime *rt, uint32_t worker)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(rt->topology->cpus[worker].os_index, &set);
    assert_int_equal(pthread_setaffinity_np(pthread_self(), sizeof set, &set), 0);
}

/* Two bound workers; skips where there cannot be any. */
static struct tg_runtime *bound_pair(void)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    options.n_workers = 2;
    MUST(tg_runtime_create(&options, &rt, &err));
    if (!rt->is_bound) {
        tg_runtime_destroy(rt);
        skip();
    }
    return rt;
}

static void caller_works_in_place_of_the_worker_whose_processor_it_is_on(void **state)
{
    (void)state;
    cpu_set_t before;
    struct tg_runtime *rt = bound_pair();
    struct tg_graph *g = graph_of_one(note_cpu);
    struct tg_run *run;
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    MUST(tg_run_create(rt, g, NULL, &run, &err));
    /* A worker that still looks for work declines its seat; the caller moves then, so the processor is its own in any case. */
    for (uint32_t i = 0; i < ROUNDS(2000); i++) {
        uint32_t w = i % 2, other = 1 - w;
        go_to(rt, w);
        MUST(tg_run_execute(run, &err));
        bool is_mine = run->worker_stats[w].n_tasks == 1;
        assert_int_equal(run->worker_stats[w].n_tasks + run->worker_stats[other].n_tasks, 1);
        assert_int_equal(atomic_load(&seen_cpu), rt->topology->cpus[is_mine ? w : other].os_index);
    }
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void caller_goes_to_another_processor_while_the_worker_of_its_own_is_busy(void **state)
{
    (void)state;
    cpu_set_t before, pinned, after;
    struct tg_runtime *rt = bound_pair();
    struct tg_graph *g = graph_of_one(note_cpu), *holding = graph_of_one(hold);
    struct tg_run *run, *held;
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    MUST(tg_run_create(rt, g, NULL, &run, &err));
    MUST(tg_run_create(rt, holding, NULL, &held, &err));
    MUST(tg_run_start(held, &err));
    while (!atomic_load(&is_holding))
        sched_yield();
    /* Which worker it is: the one whose seat is not announced once the other one sleeps. */
    while (atomic_load(&rt->parking.n_asleep) != 1)
        sched_yield();
    uint32_t busy = atomic_load(&rt->parking.asleep[0]) & 1 ? 1 : 0;
    go_to(rt, busy);
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof pinned, &pinned), 0);
    MUST(tg_run_execute(run, &err));
    assert_int_equal(atomic_load(&seen_cpu), rt->topology->cpus[1 - busy].os_index);
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&pinned, &after));
    atomic_store(&may_end, true);
    MUST(tg_run_wait(held, &err));
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    tg_run_destroy(run);
    tg_run_destroy(held);
    tg_graph_destroy(g);
    tg_graph_destroy(holding);
    tg_runtime_destroy(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caller_works_in_place_of_the_worker_whose_processor_it_is_on),
        cmocka_unit_test(caller_goes_to_another_processor_while_the_worker_of_its_own_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
