/* Graphs and machines for tests of plans: every task writes tiles of its own and reads those of others, and its
 * cost is what the test says. */
#ifndef TEST_PLAN_GRAPH_H
#define TEST_PLAN_GRAPH_H

#include "sched/bounds.h"
#include "sched/plan.h"
#include "tests/random_graph.h"

static int plan_kernel(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    return 0;
}

static inline struct tg_graph *plan_graph(void)
{
    struct tg_graph *g;
    struct tg_error err;
    MUST(tg_graph_create("plan", &g, &err));
    return g;
}

static inline tg_buffer_id plan_buffer_with(struct tg_graph *g, uint32_t number, double bytes, enum tg_init init)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    struct tg_error err;
    char name[24];
    tg_buffer_id id;
    snprintf(name, sizeof name, "b%u", number);
    spec.name = name;
    spec.dtype = TG_U8;
    spec.n_dims = 1;
    spec.shape[0] = bytes >= 1 ? (int64_t)bytes : 1;
    spec.init = init;
    spec.init_seed = 1;
    MUST(tg_graph_add_buffer(g, &spec, &id, &err));
    return id;
}

/* Of numbers that have to be moved. */
static inline tg_buffer_id plan_buffer(struct tg_graph *g, uint32_t number, double bytes)
{
    return plan_buffer_with(g, number, bytes, TG_INIT_RANDOM);
}

static inline tg_kernel_id plan_kernel_of(struct tg_graph *g, const char *name, uint32_t n_out, uint32_t n_in)
{
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    struct tg_param params[TG_MAX_PARAMS];
    char names[TG_MAX_PARAMS][16];
    struct tg_error err;
    tg_kernel_id id;
    for (uint32_t i = 0; i < n_out + n_in; i++) {
        snprintf(names[i], sizeof names[i], "p%u", i);
        params[i] = (struct tg_param){names[i], TG_U8, i < n_out ? TG_OUT : TG_IN, TG_SUM};
    }
    spec.name = name;
    spec.n_params = n_out + n_in;
    spec.params = params;
    spec.cpu = plan_kernel;
    MUST(tg_graph_add_kernel(g, &spec, &id, &err));
    return id;
}

/* flops or us: NAN if not known.  buffers: those written, then those read. */
static inline tg_task_id plan_task(struct tg_graph *g, tg_kernel_id kernel, uint32_t n, const tg_buffer_id *buffers,
                                   double flops, double bytes, double us)
{
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    struct tg_arg args[TG_MAX_PARAMS];
    struct tg_error err;
    tg_task_id id;
    for (uint32_t i = 0; i < n; i++)
        args[i] = tg_arg_tile(buffers[i], 0);
    spec.kernel = kernel;
    spec.n_args = n;
    spec.args = args;
    MUST(tg_graph_add_task(g, &spec, &id, &err));
    MUST(tgi_graph_set_task_cost(g, id, flops, bytes, us, &err));
    return id;
}

/* n devices of a lane each with memories of their own; 0 shares memory 0.  Links move `link` bytes per ns. */
static inline void plan_add_devices(struct tgi_machine *m, const char *class, uint32_t n, uint32_t n_lanes, double flops_per_ns,
                                    double bytes_per_ns)
{
    struct tgi_machine_class c = {.kind = TGI_DEVICE_CPU, .flops_per_ns = flops_per_ns};
    struct tgi_machine_device device = {"", m->n_classes, 0, n_lanes};
    struct tg_error err;
    snprintf(c.name, sizeof c.name, "%s", class);
    MUST(tgi_machine_add_class(m, &c, &err));
    for (uint32_t i = 0; i < n; i++) {
        struct tgi_machine_memory memory = {"", 0, bytes_per_ns, 0, TG_NONE};
        snprintf(memory.name, sizeof memory.name, "%s:%u", class, i);
        snprintf(device.name, sizeof device.name, "%s:%u", class, i);
        device.memory = m->n_memories;
        MUST(tgi_machine_add_memory(m, &memory, &err));
        MUST(tgi_machine_add_device(m, &device, &err));
    }
}

static inline void plan_join(struct tgi_machine *m, double latency_ns, double bytes_per_ns, enum tgi_machine_share share)
{
    struct tgi_machine_link link = {"*", "*", latency_ns, bytes_per_ns, share};
    struct tg_error err;
    MUST(tgi_machine_add_link(m, &link, &err));
    for (uint32_t i = 0; i < m->n_memories; i++)
        m->memories[i].port_bytes_per_ns = bytes_per_ns;
    MUST(tgi_machine_finish(m, &err));
}

static inline struct tgi_plan *plan_of(const struct tgi_workload *w, const char *policy)
{
    struct tgi_plan *plan;
    struct tg_error err;
    MUST(tgi_plan_create(w, tgi_policy_find(policy), &plan, &err));
    return plan;
}

static inline struct tgi_workload *workload_of(const struct tg_graph *g, const struct tgi_machine *m)
{
    struct tgi_workload *w;
    struct tg_error err;
    MUST(tgi_workload_create(g, m, &w, &err));
    return w;
}

#endif
