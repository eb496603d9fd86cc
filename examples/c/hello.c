/* Two tasks that may run at the same time, and a third that needs both.
 *
 *     cc hello.c -o hello $(pkg-config --cflags --libs tgraph) && ./hello */
#include <stdio.h>
#include <tgraph.h>

/* A kernel gets pointers to its arguments: here to the scalar `value` and to the address of `to`. */
static int set(void **args, const struct tg_context *ctx)
{
    double value = *(double *)args[0];
    double *to = *(double **)args[1];
    (void)ctx;
    to[0] = value;
    return 0;
}

static int add(void **args, const struct tg_context *ctx)
{
    const double *a = *(const double **)args[0], *b = *(const double **)args[1];
    double *sum = *(double **)args[2];
    (void)ctx;
    sum[0] = a[0] + b[0];
    return 0;
}

static const struct tg_param set_params[] = {{"value", TG_F64, TG_SCALAR, TG_SUM},
                                             {"to", TG_F64, TG_OUT, TG_SUM}};
static const struct tg_param add_params[] = {
    {"a", TG_F64, TG_IN, TG_SUM}, {"b", TG_F64, TG_IN, TG_SUM}, {"sum", TG_F64, TG_OUT, TG_SUM}};

static int build(struct tg_graph *graph, tg_buffer_id *x_p, struct tg_error *err)
{
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "x"; /* three tiles of one number each */
    buffer.dtype = TG_F64;
    buffer.n_dims = 1;
    buffer.shape[0] = 1;
    buffer.n_tile_dims = 1;
    buffer.tiles[0] = 3;
    int status = tg_graph_add_buffer(graph, &buffer, x_p, err);

    tg_kernel_id set_id, add_id;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = "set";
    kernel.n_params = 2;
    kernel.params = set_params;
    kernel.cpu = set;
    status = status ? status : tg_graph_add_kernel(graph, &kernel, &set_id, err);
    kernel.name = "add";
    kernel.n_params = 3;
    kernel.params = add_params;
    kernel.cpu = add;
    status = status ? status : tg_graph_add_kernel(graph, &kernel, &add_id, err);

    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    for (uint32_t i = 0; i < 2 && !status; i++) {
        struct tg_arg args[] = {tg_arg_float(i ? 40 : 2), tg_arg_tile(*x_p, i)};
        task.name = i ? "forty" : "two";
        task.kernel = set_id;
        task.n_args = 2;
        task.args = args;
        status = tg_graph_add_task(graph, &task, NULL, err);
    }
    if (status)
        return status;
    struct tg_arg args[] = {tg_arg_tile(*x_p, 0), tg_arg_tile(*x_p, 1), tg_arg_tile(*x_p, 2)};
    task.name = "sum"; /* comes after "two" and "forty", because it reads what they write */
    task.kernel = add_id;
    task.n_args = 3;
    task.args = args;
    status = tg_graph_add_task(graph, &task, NULL, err);
    return status ? status : tg_graph_freeze(graph, err);
}

int main(void)
{
    struct tg_error err;
    struct tg_graph *graph = NULL;
    struct tg_runtime *runtime = NULL;
    struct tg_run *run = NULL;
    tg_buffer_id x;

    int failed = tg_graph_create("hello", &graph, &err) || build(graph, &x, &err) ||
                 tg_runtime_create(NULL, &runtime, &err) || tg_run_create(runtime, graph, NULL, &run, &err) ||
                 tg_run_start(run, &err) || tg_run_wait(run, &err);
    if (failed)
        fprintf(stderr, "hello: %s\n", err.text);
    else
        printf("2 + 40 = %g\n", *(double *)tg_run_tile(run, x, 2));

    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return failed;
}
