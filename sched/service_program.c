/* Programs of a service as users build them, and their way to the tables that workers execute.
 *
 * A task comes after tasks that are there already, so a program cannot have a cycle and its numbers are a topological order. */
#include "sched/service.h"

#include <inttypes.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "sched/resident_plan.h"

/* Of a block's shared memory all that programs have for themselves together; the rest is left to what a service adds. */
enum { SHARED_BYTES = 96 << 10, MAX_BLOCKS_EACH = 1024 };

struct tg_service_program {
    uint32_t n_inputs, n_tasks, n_outputs;
    uint32_t op_cap, arg_cap, begin_cap, after_cap, output_cap;
    uint8_t *op;     /* enum tgi_resident_op */
    uint64_t *arg;
    uint32_t *begin; /* by task, of its predecessors in `after`; and one more */
    uint32_t *after;
    uint32_t *outputs;
    struct tgi_service_graph *graph; /* NULL: it is built task by task */
};

/* ---- Building -----------------------------------------------------------------------------*/

static const uint8_t ops[TG_SERVICE_N_OPS] = {
    [TG_SERVICE_OP_INPUT] = TGI_RESIDENT_INPUT, [TG_SERVICE_OP_SUM] = TGI_RESIDENT_SUM,   [TG_SERVICE_OP_SCALE] = TGI_RESIDENT_SCALE,
    [TG_SERVICE_OP_RAMP] = TGI_RESIDENT_RAMP,   [TG_SERVICE_OP_SPIN] = TGI_RESIDENT_SPIN, [TG_SERVICE_OP_FAIL] = TGI_RESIDENT_FAIL};

int tg_service_program_create(uint32_t n_inputs, struct tg_service_program **program_p, struct tg_error *err)
{
    struct tg_service_program *p = calloc(1, sizeof *p);
    if (!p || !tgi_vec_reserve(&p->begin, &p->begin_cap, 1, sizeof *p->begin)) {
        free(p);
        return tgi_error_memory(err, "creating a service's program");
    }
    p->n_inputs = n_inputs;
    p->begin[0] = 0;
    *program_p = p;
    return 0;
}

void tg_service_program_destroy(struct tg_service_program *p)
{
    if (!p)
        return;
    free(p->op);
    free(p->arg);
    free(p->begin);
    free(p->after);
    free(p->outputs);
    tgi_service_graph_destroy(p->graph);
    free(p);
}

static int check_is_built(const struct tg_service_program *p, const char *what, struct tg_error *err)
{
    return p->graph ? tgi_error(err, TG_E_STATE, "%s: the service's program is made of a graph, and complete", what) : 0;
}

static int check_task(const struct tg_service_program *p, enum tg_service_op op, uint64_t argument, const uint32_t *after,
                      uint32_t n_after, struct tg_error *err)
{
    const uint32_t t = p->n_tasks;
    if ((unsigned)op >= TG_SERVICE_N_OPS)
        return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " of a service's program: there is no op %d", t, (int)op);
    if (op == TG_SERVICE_OP_INPUT && argument >= p->n_inputs)
        return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " of a service's program takes input %" PRIu64 " of %" PRIu32, t, argument,
                         p->n_inputs);
    if (op == TG_SERVICE_OP_INPUT && n_after)
        return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " of a service's program is an input, which comes after nothing", t);
    if (op == TG_SERVICE_OP_FAIL && argument > UINT32_MAX)
        return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " of a service's program fails with code %" PRIu64 ", which has 32 bits", t,
                         argument);
    for (uint32_t i = 0; i < n_after; i++)
        if (after[i] >= t)
            return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " of a service's program comes after task %" PRIu32
                             ", which there is not yet", t, after[i]);
    return 0;
}

/* In a sorted list what is named twice lies side by side. */
static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int tg_service_program_add_task(struct tg_service_program *p, enum tg_service_op op, uint64_t argument, const uint32_t *after,
                                uint32_t n_after, uint32_t *task_p, struct tg_error *err)
{
    int rc = check_is_built(p, "adding a task", err);
    if (rc == 0)
        rc = check_task(p, op, argument, after, n_after, err);
    if (rc)
        return rc;
    const uint32_t t = p->n_tasks, begin = p->begin[t];
    if (!tgi_vec_reserve(&p->op, &p->op_cap, t + 1ull, sizeof *p->op) ||
        !tgi_vec_reserve(&p->arg, &p->arg_cap, t + 1ull, sizeof *p->arg) ||
        !tgi_vec_reserve(&p->begin, &p->begin_cap, t + 2ull, sizeof *p->begin) ||
        !tgi_vec_reserve(&p->after, &p->after_cap, begin + 1ull + n_after, sizeof *p->after))
        return tgi_error_memory(err, "adding a task to a service's program");
    if (n_after)
        memcpy(&p->after[begin], after, n_after * sizeof *after);
    qsort(&p->after[begin], n_after, sizeof *after, compare);
    for (uint32_t i = 1; i < n_after; i++)
        if (p->after[begin + i] == p->after[begin + i - 1])
            return tgi_error(err, TG_E_INVALID, "task %" PRIu32 " of a service's program comes twice after task %" PRIu32, t,
                             p->after[begin + i]);
    p->op[t] = ops[op];
    p->arg[t] = argument;
    p->begin[t + 1] = begin + n_after;
    p->n_tasks++;
    if (task_p)
        *task_p = t;
    return 0;
}

int tg_service_program_add_output(struct tg_service_program *p, uint32_t task, struct tg_error *err)
{
    int rc = check_is_built(p, "adding an output", err);
    if (rc)
        return rc;
    if (task >= p->n_tasks)
        return tgi_error(err, TG_E_INVALID, "an output of a service's program is task %" PRIu32 " of %" PRIu32, task, p->n_tasks);
    if (!tgi_vec_reserve(&p->outputs, &p->output_cap, p->n_outputs + 1ull, sizeof *p->outputs))
        return tgi_error_memory(err, "adding an output to a service's program");
    p->outputs[p->n_outputs++] = task;
    return 0;
}

/* ---- From graphs --------------------------------------------------------------------------*/

int tg_service_program_of_graph(const struct tg_graph *graph, const tg_buffer_id *inputs, uint32_t n_inputs, const tg_buffer_id *outputs,
                                uint32_t n_outputs, struct tg_service_program **program_p, struct tg_error *err)
{
    struct tg_service_program *p = calloc(1, sizeof *p);
    if (!p)
        return tgi_error_memory(err, "creating a service's program");
    int rc = tgi_service_graph_create(graph, inputs, n_inputs, outputs, n_outputs, &p->graph, err);
    if (rc == 0 && p->graph->input_bytes > UINT32_MAX)
        rc = tgi_error(err, TG_E_LIMIT, "%" PRIu64 " bytes of inputs of a service's program", p->graph->input_bytes);
    if (rc) {
        tg_service_program_destroy(p);
        return rc;
    }
    p->n_tasks = graph->n_tasks;
    p->n_inputs = (uint32_t)(p->graph->input_bytes / 8);
    p->n_outputs = p->graph->n_outputs;
    *program_p = p;
    return 0;
}

size_t tg_service_program_input_bytes(const struct tg_service_program *p) { return 8ul * p->n_inputs; }
size_t tg_service_program_output_bytes(const struct tg_service_program *p) { return 8ul * p->n_outputs; }

/* ---- Planning -----------------------------------------------------------------------------*/

/* Rows of successors from rows of predecessors; succ_at has room for two more than there are tasks, and is zero. */
static void turn_around(const struct tg_service_program *p, uint32_t *succ_at, uint32_t *succ)
{
    for (uint32_t e = 0; e < p->begin[p->n_tasks]; e++)
        succ_at[p->after[e] + 2]++;
    for (uint32_t t = 0; t < p->n_tasks; t++)
        succ_at[t + 2] += succ_at[t + 1];
    for (uint32_t t = 0; t < p->n_tasks; t++)
        for (uint32_t e = p->begin[t]; e < p->begin[t + 1]; e++)
            succ[succ_at[p->after[e] + 1]++] = t;
}

static int plan_tasks(const struct tg_service_program *p, const struct tgi_resident_shape *shape, struct tgi_resident_program **program_p,
                      struct tg_error *err)
{
    const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
    uint32_t *succ_at = calloc(p->n_tasks + 2ull, sizeof *succ_at);
    uint32_t *succ = malloc((p->begin[p->n_tasks] + 1ull) * sizeof *succ);
    int rc = succ_at && succ ? 0 : tgi_error_memory(err, "planning a service's program");
    if (rc == 0) {
        const struct tgi_resident_dag dag = {.n_tasks = p->n_tasks, .succ_at = succ_at, .succ = succ, .op = p->op, .arg = p->arg};
        turn_around(p, succ_at, succ);
        rc = tgi_resident_plan(&dag, shape, &costs, program_p, err);
        if (rc == 0)
            rc = tgi_resident_check(&dag, *program_p, err);
    }
    free(succ_at);
    free(succ);
    return rc;
}

static int plan_program(const struct tg_service_program *p, struct tgi_devices *devices, const struct tgi_resident_shape *shape,
                        struct tgi_service_program *to, struct tgi_service_words *words, struct tg_error *err)
{
    struct tgi_resident_program *program = NULL;
    int rc = p->graph ? tgi_service_graph_plan(p->graph, devices, shape, &program, words, err) : plan_tasks(p, shape, &program, err);
    *to = (struct tgi_service_program){.program = program, .n_inputs = p->n_inputs, .n_outputs = p->n_outputs};
    to->outputs = p->graph ? p->graph->outputs : p->outputs;
    to->graph = p->graph;
    to->words = p->graph ? words : NULL;
    return rc;
}

static int check_setup(const struct tg_service_setup *setup, struct tg_error *err)
{
    int rc = tgi_error_check_size(err, "service setup", setup->size, sizeof *setup);
    if (rc)
        return rc;
    if (setup->n_programs < 1 || setup->n_programs > TGI_TURN_MAX_PROGRAMS)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " programs of a service; 1 to %" PRIu32 " are possible", setup->n_programs,
                         TGI_TURN_MAX_PROGRAMS);
    if (setup->n_workers_each < 1 || setup->n_workers_each >= TGI_SERVICE_MAX_WARPS)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " workers in a block of a service; 1 to %" PRIu32 " are possible",
                         setup->n_workers_each, TGI_SERVICE_MAX_WARPS - 1);
    if (setup->n_blocks_each < 1 || setup->n_blocks_each > MAX_BLOCKS_EACH)
        return tgi_error(err, TG_E_LIMIT, "%" PRIu32 " blocks in a team of a service; 1 to %d are possible", setup->n_blocks_each,
                         MAX_BLOCKS_EACH);
    if (setup->n_teams < 1 || setup->n_ahead < 1 || setup->n_ahead > TGI_SERVICE_MAX_AHEAD)
        return tgi_error(err, TG_E_INVALID, "%" PRIu32 " teams of a service with %" PRIu32 " instances under way in each: at least one"
                         " team, and 1 to %" PRIu32 " instances are possible", setup->n_teams, setup->n_ahead, TGI_SERVICE_MAX_AHEAD);
    for (uint32_t i = 0; i < setup->n_programs; i++)
        if (setup->programs[i]->n_tasks == 0)
            return tgi_error(err, TG_E_INVALID, "program %" PRIu32 " of a service has no tasks", i);
        else if (!setup->programs[i]->graph != !setup->programs[0]->graph)
            return tgi_error(err, TG_E_UNSUPPORTED, "program %" PRIu32 " of a service is %s, the first one is not; a service's are alike", i,
                             setup->programs[i]->graph ? "made of a graph" : "built task by task");
    return 0;
}

int tgi_service_plan(const struct tg_service_setup *setup, struct tgi_devices *devices, struct tgi_service_planned *planned,
                     struct tg_error *err)
{
    memset(planned, 0, sizeof *planned);
    int rc = check_setup(setup, err);
    if (rc)
        return rc;
    struct tgi_resident_shape shape = {setup->n_blocks_each, setup->n_workers_each, 0, TGI_RESIDENT_WARP};
    /* Each seat of a team has what each program needs. */
    shape.shared_bytes = tgi_resident_shared_bytes(shape.n_workers_each, 0, 0) + SHARED_BYTES / (setup->n_ahead * setup->n_programs);
    for (uint32_t i = 0; rc == 0 && i < setup->n_programs; i++)
        rc = plan_program(setup->programs[i], devices, &shape, &planned->programs[i], &planned->words[i], err);
    planned->setup = (struct tgi_service_setup){.programs = planned->programs,
                                                .n_programs = setup->n_programs,
                                                .clients = setup->clients,
                                                .n_clients = setup->n_clients,
                                                .n_teams = setup->n_teams,
                                                .n_ahead = setup->n_ahead,
                                                .can_keep = setup->can_keep};
    if (rc)
        tgi_service_planned_fini(planned);
    return rc;
}

/* Programs are as the planner made them. */
void tgi_service_planned_fini(struct tgi_service_planned *planned)
{
    for (uint32_t i = 0; i < planned->setup.n_programs; i++) {
        tgi_resident_program_destroy((struct tgi_resident_program *)planned->programs[i].program);
        tgi_service_words_fini(&planned->words[i]);
    }
}
