/* Tasks that create children while they run.  One task sorts an array with children that nobody waits
 * for: the task as a whole ends when they all have.  The next one, which depends on it, verifies the
 * order with children it does wait for.
 *
 *     cc -O2 spawn.c -o spawn $(pkg-config --cflags --libs tgraph) && ./spawn 1000000 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tgraph.h>

enum { LEAF = 2048 }; /* a child must be worth more than what it costs to create: some ten nanoseconds */

struct range {
    uint32_t *at;
    int64_t n;
};

/* ---- Quicksort with detached children -----------------------------------------------------*/

static void insertion_sort(uint32_t *at, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        uint32_t value = at[i];
        int64_t j = i;
        for (; j > 0 && at[j - 1] > value; j--)
            at[j] = at[j - 1];
        at[j] = value;
    }
}

/* Afterwards at[0 .. result) <= at[result .. n), both parts non-empty. */
static int64_t partition(uint32_t *at, int64_t n)
{
    uint32_t a = at[0], b = at[n / 2], c = at[n - 1];
    uint32_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
    int64_t i = -1, j = n;
    for (;;) {
        do
            i++;
        while (at[i] < pivot);
        do
            j--;
        while (at[j] > pivot);
        if (i >= j)
            return j + 1 < n ? j + 1 : n - 1;
        uint32_t swap = at[i];
        at[i] = at[j];
        at[j] = swap;
    }
}

static int sort_range(void *arg, const struct tg_context *ctx)
{
    struct range r = *(struct range *)arg;
    while (r.n > 16) {
        int64_t left = partition(r.at, r.n);
        struct range child = {r.at, left};
        if (left > LEAF) {
            int status = tg_spawn_detached(ctx, sort_range, &child, sizeof child); /* copies `child` */
            if (status)
                return status;
        } else {
            sort_range(&child, ctx);
        }
        r.at += left;
        r.n -= left;
    }
    insertion_sort(r.at, r.n);
    return 0;
}

static int sort(void **args, const struct tg_context *ctx)
{
    struct range all = {*(uint32_t **)args[1], *(int64_t *)args[0]};
    return sort_range(&all, ctx);
}

/* ---- Verification with children that are waited for ---------------------------------------*/

struct check {
    struct range range;
    uint64_t sum;
    int64_t n_wrong; /* neighbours in the wrong order */
};

static int check_range(void *arg, const struct tg_context *ctx)
{
    struct check *c = arg;
    uint32_t *at = c->range.at;
    int64_t n = c->range.n, half = n / 2;
    if (n <= LEAF) {
        for (int64_t i = 0; i < n; i++) {
            c->sum += at[i];
            c->n_wrong += i > 0 && at[i - 1] > at[i];
        }
        return 0;
    }
    struct check left = {{at, half}, 0, 0}, right = {{at + half, n - half}, 0, 0};
    struct tg_job job;
    tg_spawn(ctx, &job, check_range, &left); /* `left` and `job` live until tg_sync() */
    check_range(&right, ctx);
    tg_sync(ctx, &job);
    c->sum = left.sum + right.sum;
    c->n_wrong = left.n_wrong + right.n_wrong + (at[half - 1] > at[half]);
    return 0;
}

static int check(void **args, const struct tg_context *ctx)
{
    struct check all = {{*(uint32_t **)args[1], *(int64_t *)args[0]}, 0, 0};
    uint64_t *result = *(uint64_t **)args[2];
    check_range(&all, ctx);
    result[0] = all.sum;
    result[1] = (uint64_t)all.n_wrong;
    return 0;
}

/* ---- The graph: sort, then check ----------------------------------------------------------*/

static struct tg_error err;

static void must(int status)
{
    if (status) {
        fprintf(stderr, "spawn: %s\n", err.text);
        exit(1);
    }
}

static tg_buffer_id add_buffer(struct tg_graph *graph, const char *name, enum tg_dtype dtype, int64_t n,
                               void *host)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    spec.name = name;
    spec.dtype = dtype;
    spec.n_dims = 1;
    spec.shape[0] = n;
    spec.host = host;
    tg_buffer_id buffer;
    must(tg_graph_add_buffer(graph, &spec, &buffer, &err));
    return buffer;
}

static void add_task(struct tg_graph *graph, const char *name, tg_cpu_fn fn, uint32_t n_params,
                     const struct tg_param *params, const struct tg_arg *args)
{
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = name;
    kernel.n_params = n_params;
    kernel.params = params;
    kernel.cpu = fn;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    must(tg_graph_add_kernel(graph, &kernel, &task.kernel, &err));
    task.name = name;
    task.n_args = n_params;
    task.args = args;
    must(tg_graph_add_task(graph, &task, NULL, &err));
}

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? atoll(argv[1]) : 1000000;
    if (n < 2 || n > 1000000000) {
        fprintf(stderr, "usage: spawn [NUMBERS]\n");
        return 2;
    }
    uint32_t *numbers = malloc((size_t)n * sizeof *numbers);
    if (!numbers) {
        fprintf(stderr, "spawn: no memory\n");
        return 1;
    }
    uint64_t sum = 0, result[2];
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        numbers[i] = state;
        sum += state;
    }

    static const struct tg_param sort_params[] = {{"n", TG_I64, TG_SCALAR, TG_SUM},
                                                  {"numbers", TG_U32, TG_INOUT, TG_SUM}};
    static const struct tg_param check_params[] = {{"n", TG_I64, TG_SCALAR, TG_SUM},
                                                   {"numbers", TG_U32, TG_IN, TG_SUM},
                                                   {"result", TG_U64, TG_OUT, TG_SUM}};
    struct tg_graph *graph;
    struct tg_runtime *runtime;
    struct tg_run *run;
    must(tg_graph_create("spawn", &graph, &err));
    tg_buffer_id data = add_buffer(graph, "numbers", TG_U32, n, numbers);
    tg_buffer_id answer = add_buffer(graph, "result", TG_U64, 2, result);
    struct tg_arg args[] = {tg_arg_int(n), tg_arg_tile(data, 0), tg_arg_tile(answer, 0)};
    add_task(graph, "sort", sort, 2, sort_params, args);
    add_task(graph, "check", check, 3, check_params, args);
    must(tg_graph_freeze(graph, &err));
    must(tg_runtime_create(NULL, &runtime, &err));
    must(tg_run_create(runtime, graph, NULL, &run, &err));
    must(tg_run_start(run, &err));
    must(tg_run_wait(run, &err));

    struct tg_run_stats stats;
    must(tg_run_stats(run, &stats, &err));
    printf("%" PRId64 " numbers sorted by %u workers in %.3f ms, %" PRIu64 " out of order, sum %s\n", n,
           stats.n_workers, (double)stats.makespan_ns / 1e6, result[1],
           result[0] == sum ? "kept" : "CHANGED");
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    free(numbers);
    return result[1] == 0 && result[0] == sum ? 0 : 1;
}
