/* See outlook.h.  Devices of paper answer for what is asked of a backend: which commands can be tasks, and how much room there is. */
#include "io/outlook.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/bodies.h"
#include "graph/error.h"
#include "kernels/launch.h"
#include "kernels/resident.h"
#include "sched/resident_cluster.h"

/* Those of an H100, beside what a block keeps of its shared memory. */
enum { N_BLOCKS = 132, SHARED_BYTES = 200 << 10 };

struct paper {
    struct tgi_devices base; /* first */
    const struct tg_graph *graph;
    struct tgi_launcher **launchers; /* by op; NULL: not a built-in kernel that GPUs have */
};

/* ---- What is asked of devices -------------------------------------------------------------*/

static const struct tgi_variant *variant_of(const struct tg_graph *g, const struct tgi_op *op, enum tgi_device_kind kind)
{
    const struct tgi_op *owner = op->generic == TG_NONE ? op : &g->space->ops[op->generic];
    for (uint32_t i = 0; i < owner->n_variants; i++)
        if (owner->variants[i].on == kind)
            return &owner->variants[i];
    return NULL;
}

static uint32_t op_of(const struct tg_graph *g, uint32_t task) { return (uint32_t)(tgi_graph_op(g, task) - g->space->ops); }

/* A kernel is called with its arguments; a fill or a copy takes as long as a body that touches as much. */
static bool call_of(struct tgi_devices *ds, const struct tgi_program *p, const struct tgi_command *c, struct tgi_resident_call *call,
                    const char **why_p)
{
    const struct paper *paper = (const struct paper *)ds;
    uint32_t t = (uint32_t)c->owner;
    const struct tgi_op *op = tgi_graph_op(paper->graph, t);
    struct tgi_launcher *launcher = paper->launchers[op - paper->graph->space->ops];
    (void)p;
    *call = (struct tgi_resident_call){.n_words = 0};
    *why_p = "it is no kernel that can be resident";
    if (c->kind == TGI_COMMAND_FILL) {
        struct tgi_cost cost = tgi_graph_cost(paper->graph, t);
        call->words[0] = cost.bytes > 0 ? (uint64_t)cost.bytes : 0;
        return tgi_body_of(tgi_body_row("tgk_touch_u8"), call->words, &call->cost_ns) >= 0;
    }
    if (c->kind != TGI_COMMAND_LAUNCH || op->n_params > TGI_RESIDENT_MAX_WORDS)
        return false;
    for (call->n_words = 0; call->n_words < op->n_params; call->n_words++)
        call->words[call->n_words] = tgi_graph_word(paper->graph, t, call->n_words);
    const struct tgi_variant *own = variant_of(paper->graph, op, TGI_DEVICE_RESIDENT);
    if (own) {
        call->is_thread = tgi_variant_has_width(own, "thread");
        call->is_block = tgi_variant_has_width(own, "block");
        call->body = (uint32_t)(op - paper->graph->space->ops) & 0xffffu; /* two kernels are not in one batch */
        call->cost_ns = tgi_cuda_body_cost(op, call->words, call->is_thread);
        return true;
    }
    const struct tgi_body_row *row = launcher ? tgi_body_row(tgi_launcher_symbol(launcher)) : NULL;
    int body = row ? tgi_body_of(row, call->words, &call->cost_ns) : -1;
    call->body = body < 0 ? 0 : (uint32_t)body;
    return body >= 0;
}

static int room_of(struct tgi_devices *ds, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err)
{
    (void)ds, (void)device, (void)err;
    *room_p = (struct tgi_resident_room){N_BLOCKS, TGI_RESIDENT_RUN_WARPS, SHARED_BYTES, true};
    return 0;
}

static const struct tgi_device_ops paper_ops = {.size = sizeof paper_ops, .kind = "paper", .resident_call = call_of, .resident_room = room_of};

static void no_times(void *user, const struct tgi_command *c, struct tgi_command_times *times_p)
{
    (void)user, (void)c;
    *times_p = (struct tgi_command_times){0, 0};
}

/* ---- The graph as commands ----------------------------------------------------------------*/

static int make_launchers(struct paper *paper, struct tg_error *err)
{
    const struct tgi_space *space = paper->graph->space;
    paper->launchers = calloc((size_t)space->n_ops + 1, sizeof *paper->launchers);
    if (!paper->launchers)
        return tgi_error_memory(err, "looking at a graph's kernels");
    for (uint32_t i = 0; i < space->n_ops; i++) {
        const struct tgi_op *op = &space->ops[i], *owner = op->generic == TG_NONE ? op : &space->ops[op->generic];
        const struct tgi_builtin *builtin = NULL;
        for (uint32_t v = 0; op->kind == TGI_OP_KERNEL && !op->is_generic && v < owner->n_variants; v++)
            if (owner->variants[v].form == TGI_VARIANT_BUILTIN && owner->variants[v].builtin->cuda)
                builtin = owner->variants[v].builtin;
        int rc = builtin ? tgi_launcher_create(builtin, op->type_t >= 0 ? (enum tg_dtype)op->type_t : TG_F32, &paper->launchers[i]) : 0;
        if (rc == TG_E_NO_MEMORY)
            return tgi_error_memory(err, "looking at a graph's kernels");
    }
    return 0;
}

static void paper_fini(struct paper *paper)
{
    for (uint32_t i = 0; paper->launchers && i < paper->graph->space->n_ops; i++)
        tgi_launcher_destroy(paper->launchers[i]);
    free(paper->launchers);
}

/* How large its launch is, which keeps kernels that fill a device out of clusters. */
static void set_shape(const struct paper *paper, uint32_t task, struct tgi_command *c)
{
    const struct tgi_op *op = tgi_graph_op(paper->graph, task);
    struct tgi_launcher *launcher = paper->launchers[op_of(paper->graph, task)];
    struct tgi_launch launch = {1, 1, 0};
    uint64_t words[TG_MAX_PARAMS];
    void *args[TG_MAX_PARAMS];
    for (uint32_t i = 0; i < op->n_params; i++) {
        words[i] = tgi_graph_word(paper->graph, task, i);
        args[i] = &words[i];
    }
    if (launcher && tgi_launcher_size(launcher, args, &launch))
        launch = (struct tgi_launch){UINT32_MAX, 1, 0}; /* beyond any device */
    c->launch.shape = (struct tgi_shape){{launch.grid, 1, 1}, {launch.block, 1, 1}, {0, 0, 0}, 0, 0};
}

/* What is a CPU's work stands between devices as a copy to it would; copies of tiles are fills. */
static struct tgi_command command_of(const struct paper *paper, uint32_t task, uint32_t device)
{
    const struct tgi_op *op = tgi_graph_op(paper->graph, task);
    struct tgi_command c = {.kind = TGI_COMMAND_COPY, .lane = tgi_lane_of(device == TG_NONE ? 0 : device, 0), .owner = task};
    if (op->kind == TGI_OP_BARRIER)
        c.kind = TGI_COMMAND_NOTHING;
    else if (device != TG_NONE && op->kind != TGI_OP_KERNEL)
        c.kind = TGI_COMMAND_FILL;
    else if (device != TG_NONE) {
        c.kind = TGI_COMMAND_LAUNCH;
        set_shape(paper, task, &c);
    }
    return c;
}

/* Predecessors in CSR form, then tasks in an order in which each comes after them. */
struct order {
    uint32_t *first, *pred, *n_left, *task;
};

static void order_fini(struct order *o)
{
    free(o->first);
    free(o->pred);
    free(o->n_left);
    free(o->task);
}

static bool order_init(struct order *o, const struct tg_graph *g)
{
    uint32_t n = g->n_tasks, n_ready = 0;
    o->first = calloc((size_t)n + 2, sizeof *o->first);
    o->pred = malloc(((size_t)g->nodes[n].succ + 1) * sizeof *o->pred);
    o->n_left = calloc((size_t)n + 1, sizeof *o->n_left);
    o->task = malloc(((size_t)n + 1) * sizeof *o->task);
    if (!o->first || !o->pred || !o->n_left || !o->task)
        return false;
    for (uint32_t i = 0; i < g->nodes[n].succ; i++)
        o->n_left[g->succ[i]]++;
    for (uint32_t t = 0; t < n; t++) {
        o->first[t + 2] = o->first[t + 1] + o->n_left[t];
        if (o->n_left[t] == 0)
            o->task[n_ready++] = t;
    }
    for (uint32_t k = 0; k < n_ready; k++)
        for (uint32_t i = g->nodes[o->task[k]].succ; i < g->nodes[o->task[k] + 1].succ; i++) {
            uint32_t to = g->succ[i];
            o->pred[o->first[to + 1]++] = o->task[k];
            if (--o->n_left[to] == 0)
                o->task[n_ready++] = to;
        }
    return true;
}

static int write_down(const struct paper *paper, const uint32_t *device_of, struct tgi_program *p, struct tg_error *err)
{
    const struct tg_graph *g = paper->graph;
    struct order o = {NULL, NULL, NULL, NULL};
    bool is_good = order_init(&o, g);
    uint32_t *id = is_good ? o.n_left : NULL; /* by task: its command; these are all 0 by now */
    int rc = is_good ? 0 : tgi_error_memory(err, "looking at a graph's tasks");
    for (uint32_t k = 0; rc == 0 && k < g->n_tasks; k++) {
        uint32_t t = o.task[k], *pred = o.pred + o.first[t];
        struct tgi_command c = command_of(paper, t, device_of[t]);
        for (uint32_t i = 0; i < o.first[t + 1] - o.first[t]; i++)
            pred[i] = id[pred[i]];
        rc = tgi_program_add(p, &c, pred, o.first[t + 1] - o.first[t], &id[t], err);
    }
    order_fini(&o);
    return rc;
}

/* ---- All ----------------------------------------------------------------------------------*/

static bool is_plain(const struct tg_graph *g)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        enum tgi_op_kind kind = tgi_graph_op(g, t)->kind;
        if (kind != TGI_OP_KERNEL && kind != TGI_OP_COPY && kind != TGI_OP_FILL && kind != TGI_OP_BARRIER)
            return false;
    }
    return true;
}

int tgi_outlook_find(const struct tg_graph *g, const uint32_t *device_of, uint32_t n_devices, const struct tgi_gain_costs *costs,
                     struct tgi_outlook *outlook_p, struct tg_error *err)
{
    struct paper paper = {.base = {.ops = &paper_ops, .n_devices = n_devices}, .graph = g};
    const struct tgi_cluster_wish wish = {.costs = costs, .times = no_times};
    struct tgi_program program = {0}, clustered = {0};
    struct tgi_clustering what;
    memset(outlook_p, 0, sizeof *outlook_p);
    if (!is_plain(g) || n_devices == 0 || n_devices > TGI_MAX_DEVICES)
        return 0;
    int rc = make_launchers(&paper, err);
    if (rc == 0)
        rc = write_down(&paper, device_of, &program, err);
    if (rc == 0)
        rc = tgi_resident_cluster(&paper.base, &program, &clustered, &wish, &what, err);
    if (rc == 0)
        *outlook_p = (struct tgi_outlook){what.possible, what.sure, what.hoped};
    tgi_program_fini(&clustered);
    tgi_program_fini(&program);
    paper_fini(&paper);
    return rc;
}
