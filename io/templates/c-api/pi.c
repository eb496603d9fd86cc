/* Pi as the area under 4 / (1 + x^2), in strips. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <tgraph.h>

enum { N_STRIPS = 64, N_STEPS = 100000 };

/* A kernel gets a pointer to each argument: to the number itself, or to the address of the data. */
static int add_strip(void **args, const struct tg_context *ctx)
{
    int64_t strip = *(int64_t *)args[0];
    double *area = *(double **)args[1];
    (void)ctx;
    double width = 1.0 / (N_STRIPS * (double)N_STEPS), sum = 0;
    for (int64_t i = 0; i < N_STEPS; i++) {
        double x = ((double)(strip * N_STEPS + i) + 0.5) * width;
        sum += 4 / (1 + x * x);
    }
    *area += sum * width;
    return 0;
}

static int build(struct tg_graph *graph, tg_buffer_id *area_p, struct tg_error *err)
{
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "area";
    buffer.dtype = TG_F64;
    buffer.n_dims = 1;
    buffer.shape[0] = 1;
    buffer.init = TG_INIT_ZERO;
    int status = tg_graph_add_buffer(graph, &buffer, area_p, err);
    if (status != TG_OK)
        return status;

    struct tg_param params[] = {{"strip", TG_I64, TG_SCALAR, TG_SUM}, {"area", TG_F64, TG_REDUCE, TG_SUM}};
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = "add_strip";
    kernel.n_params = 2;
    kernel.params = params;
    kernel.cpu = add_strip;
    tg_kernel_id kernel_id;
    status = tg_graph_add_kernel(graph, &kernel, &kernel_id, err);

    for (int64_t strip = 0; strip < N_STRIPS && status == TG_OK; strip++) {
        char name[32];
        snprintf(name, sizeof(name), "strip[%" PRId64 "]", strip);
        struct tg_arg args[] = {tg_arg_int(strip), tg_arg_tile(*area_p, 0)};
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.name = name;
        task.kernel = kernel_id;
        task.n_args = 2;
        task.args = args;
        status = tg_graph_add_task(graph, &task, NULL, err);
    }
    return status == TG_OK ? tg_graph_freeze(graph, err) : status;
}

int main(void)
{
    struct tg_error err;
    struct tg_graph *graph = NULL;
    struct tg_runtime *runtime = NULL;
    struct tg_run *run = NULL;
    tg_buffer_id area;
    int status = tg_graph_create("pi", &graph, &err);
    if (status == TG_OK)
        status = build(graph, &area, &err);
    if (status == TG_OK)
        status = tg_runtime_create(NULL, &runtime, &err);
    if (status == TG_OK)
        status = tg_run_create(runtime, graph, NULL, &run, &err);
    if (status == TG_OK)
        status = tg_run_start(run, &err);
    if (status == TG_OK)
        status = tg_run_wait(run, &err);
    if (status == TG_OK) {
        double pi = *(double *)tg_run_tile(run, area, 0);
        printf("pi = %.12f (error %.1e) by %u workers\n", pi, fabs(pi - M_PI), tg_runtime_n_workers(runtime));
    } else {
        fprintf(stderr, "pi: %s%s%s\n", err.task, *err.task ? ": " : "", err.text);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return status == TG_OK ? 0 : 1;
}
