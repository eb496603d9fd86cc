/* What planning costs: a random graph with communication on 4 devices, and a million tasks on 1,024 devices. */
#include <stdio.h>

#include "bench/must.h"
#include "bench/sample.h"
#include "graph/model.h"
#include "sched/bounds.h"
#include "sched/plan.h"

static int nothing(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    return 0;
}

/* Layers of `width` tasks, each reading three tiles of the layer before and writing its own. */
static struct tg_graph *make_graph(uint32_t n_tasks, uint32_t width)
{
    static const struct tg_param params[] = {{"out", TG_U8, TG_OUT, TG_SUM}, {"a", TG_U8, TG_IN, TG_SUM},
                                             {"b", TG_U8, TG_IN, TG_SUM}, {"c", TG_U8, TG_IN, TG_SUM}};
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    struct tg_graph *g;
    tg_kernel_id k;
    tg_buffer_id b;
    must(tg_graph_create("plan", &g, &err));
    kernel.name = "work";
    kernel.n_params = 4;
    kernel.params = params;
    kernel.cpu = nothing;
    kernel.flops = "1e8";
    must(tg_graph_add_kernel(g, &kernel, &k, &err));
    buffer.name = "tiles";
    buffer.dtype = TG_U8;
    buffer.n_dims = 1;
    buffer.shape[0] = 1 << 20;
    buffer.n_tile_dims = 1;
    buffer.tiles[0] = n_tasks + width;
    must(tg_graph_add_buffer(g, &buffer, &b, &err));
    uint64_t seed = 1;
    for (uint32_t t = 0; t < n_tasks; t++) {
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        struct tg_arg args[4] = {tg_arg_tile(b, width + t)};
        for (uint32_t i = 1; i < 4; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* Neighbours, and now and then anyone. */
            bool is_near = (uint32_t)(seed >> 33) % 16;
            uint32_t from = is_near ? (t % width + i + width - 2) % width : (uint32_t)(seed >> 40) % width;
            args[i] = tg_arg_tile(b, t / width * width + from);
        }
        task.kernel = k;
        task.n_args = 4;
        task.args = args;
        must(tg_graph_add_task(g, &task, NULL, &err));
    }
    must(tg_graph_freeze(g, &err));
    return g;
}

static void make_machine(struct tgi_machine *m, uint32_t n)
{
    struct tgi_machine host = {.name = "host"};
    struct tgi_machine_class class = {.name = "cpu", .kind = TGI_DEVICE_CPU, .flops_per_ns = 32, .launch_ns = 300},
                             gpu = {.name = "gpu", .kind = TGI_DEVICE_CPU, .flops_per_ns = 10000, .launch_ns = 3000};
    struct tgi_machine_memory memory = {"host", 0, 200, 0, TG_NONE};
    struct tgi_machine_link links[] = {{"host", "gpu", 6000, 55, TGI_SHARE_LINK}, {"gpu", "host", 6000, 55, TGI_SHARE_LINK},
                                       {"gpu", "gpu", 3000, 396, TGI_SHARE_PORTS}};
    must(tgi_machine_add_class(&host, &class, &err));
    must(tgi_machine_add_class(&host, &gpu, &err));
    must(tgi_machine_add_memory(&host, &memory, &err));
    for (uint32_t i = 0; i < n; i++) {
        struct tgi_machine_device device = {"", 1, 1 + i, 1};
        struct tgi_machine_memory own = {"", (uint64_t)140 << 30, 4200, 396, TG_NONE};
        snprintf(own.name, sizeof own.name, "gpu:%u", i);
        snprintf(device.name, sizeof device.name, "gpu:%u", i);
        must(tgi_machine_add_memory(&host, &own, &err));
        must(tgi_machine_add_device(&host, &device, &err));
    }
    for (uint32_t i = 0; i < 3; i++)
        must(tgi_machine_add_link(&host, &links[i], &err));
    must(tgi_machine_finish(&host, &err));
    *m = host;
}

static void measure(const char *what, const struct tg_graph *g, uint32_t n_devices, const char *policy, uint32_t n_runs)
{
    struct bench_sample sample = {{0}, 0};
    struct tgi_machine m;
    struct tgi_bounds bounds;
    double efficiency = 0;
    make_machine(&m, n_devices);
    for (uint32_t i = 0; i < n_runs; i++) {
        struct tgi_workload *w;
        struct tgi_plan *plan;
        uint64_t begin = bench_now_ns();
        must(tgi_workload_create(g, &m, &w, &err));
        must(tgi_plan_create(w, tgi_policy_find(policy), &plan, &err));
        bench_sample_add(&sample, bench_now_ns() - begin);
        must(tgi_bounds_find(w, &bounds, &err));
        efficiency = tgi_bounds_ns(&bounds) / plan->makespan_ns;
        tgi_plan_destroy(plan);
        tgi_workload_destroy(w);
    }
    tgi_machine_fini(&m);
    bench_report(what, policy, n_devices, "us/task", (double)bench_sample_median(&sample) / 1e3 / g->n_tasks);
    bench_report(what, policy, n_devices, "s", (double)bench_sample_median(&sample) / 1e9);
    bench_report(what, policy, n_devices, "bound/makespan", efficiency);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    struct tg_graph *g = make_graph(100000, 100);
    for (uint32_t i = 0; tgi_policies[i]; i++)
        measure("plan 100k tasks", g, 4, tgi_policies[i]->name, o.n_runs < 5 ? o.n_runs : 5);
    tg_graph_destroy(g);
    g = make_graph(1000000, 4096);
    measure("plan 1M tasks", g, 1024, "eager", 1);
    measure("plan 1M tasks", g, 1024, "steal", 1);
    bench_report("plan 1M tasks", "all", 1024, "peak GiB", (double)bench_peak_bytes() / (1 << 30));
    tg_graph_destroy(g);
    return 0;
}
