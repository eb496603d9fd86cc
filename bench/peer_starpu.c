/* The benchmark graphs on StarPU, with explicit task dependencies.  Run with STARPU_NCPU set to the
 * number of threads.  A task can be submitted once, so every run creates all tasks again. */
#include <starpu.h>
#include <stdlib.h>
#include <string.h>

#include "bench/metg.h"
#include "bench/sample.h"
#include "bench/shape.h"

static uint32_t iterations_now;

static void body(void *buffers[], void *arg)
{
    (void)buffers, (void)arg;
    if (iterations_now)
        bench_work(iterations_now);
}

static struct starpu_codelet codelet = {.cpu_funcs = {body}, .nbuffers = 0, .name = "body"};

static uint64_t run(void *user, uint32_t iterations)
{
    const struct bench_shape *s = user;
    struct starpu_task **tasks = malloc(s->n_tasks * sizeof(struct starpu_task *));
    struct starpu_task **preds = malloc((s->n_tasks + 1) * sizeof(struct starpu_task *));
    if (!tasks || !preds)
        bench_die("no memory");
    iterations_now = iterations;
    uint64_t begin = bench_now_ns();
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        struct starpu_task *task = tasks[t] = starpu_task_create();
        task->cl = &codelet;
        task->destroy = 0; /* successors name it */
        uint32_t n_preds = s->first[t + 1] - s->first[t];
        for (uint32_t k = 0; k < n_preds; k++)
            preds[k] = tasks[s->pred[s->first[t] + k]];
        if (n_preds)
            starpu_task_declare_deps_array(task, n_preds, preds);
        if (starpu_task_submit(task))
            bench_die("StarPU refuses a task");
    }
    starpu_task_wait_for_all();
    uint64_t ns = bench_now_ns() - begin;
    for (uint32_t t = 0; t < s->n_tasks; t++)
        starpu_task_destroy(tasks[t]);
    free(tasks);
    free(preds);
    return ns;
}

static void overhead(const char *name, const struct bench_options *o)
{
    struct bench_shape s = bench_shape_make(name, o->n_tasks);
    struct bench_sample sample = {0};
    for (uint32_t i = 0; i < o->n_runs; i++)
        bench_sample_add(&sample, run(&s, 0));
    double n = s.n_tasks;
    bench_report(name, "starpu", o->n_threads, "ns/task", (double)bench_sample_median(&sample) / n);
    bench_report(name, "starpu", o->n_threads, "best ns/task", (double)bench_sample_best(&sample) / n);
    bench_shape_free(&s);
}

static void pattern(const char *name, const struct bench_options *o)
{
    struct bench_shape s = bench_pattern_make(name, o->n ? o->n : BENCH_PATTERN_WIDTH, BENCH_PATTERN_STEPS);
    bench_report(name, "starpu", o->n_threads, "METG us built",
                 bench_metg_us(run, &s, s.n_tasks, o->n_threads, o->n_runs, 0.75));
    bench_shape_free(&s);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    if (starpu_init(NULL))
        bench_die("StarPU does not start");
    for (const char *const *name = bench_shape_names; *name; name++)
        if (!o.pattern && (!o.what || !strcmp(o.what, *name)))
            overhead(*name, &o);
    for (const char *const *name = bench_pattern_names; *name; name++)
        if (o.pattern && (!strcmp(o.pattern, *name) || !strcmp(o.pattern, "all")))
            pattern(*name, &o);
    starpu_shutdown();
    return 0;
}
