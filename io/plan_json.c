#include "io/plan_json.h"

#include <stdlib.h>

#include "graph/error.h"
#include "io/json_out.h"

/* By task, n_tasks + 1: where its predecessors stand, those of task t from at[t] on. */
struct preds {
    uint64_t *at;
    uint32_t *task;
};

static bool find_preds(const struct tg_graph *g, struct preds *p)
{
    p->at = calloc((size_t)g->n_tasks + 2, sizeof(*p->at));
    p->task = malloc(((size_t)g->nodes[g->n_tasks].succ + 1) * sizeof(*p->task));
    if (!p->at || !p->task)
        return false;
    /* at[t + 1] is first where task t begins, and counts up to where it ends. */
    for (uint32_t t = 0; t < g->n_tasks; t++)
        p->at[t + 2] = p->at[t + 1] + g->nodes[t].n_preds;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++)
            p->task[p->at[g->succ[e] + 1]++] = t;
    return true;
}

static void put_tasks(const struct tgi_workload *w, const struct tgi_plan *plan, const struct preds *preds, struct tgi_json *json)
{
    char scratch[16];
    tgi_json_array(json, "tasks");
    for (uint32_t t = 0; t < plan->n_tasks; t++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "task", tgi_graph_task_name(w->graph, t, scratch));
        tgi_json_string(json, "device", w->machine->devices[plan->device[t]].name);
        tgi_json_string(json, "kernel", tgi_graph_op(w->graph, t)->name);
        tgi_json_double(json, "start_ns", plan->start[t]);
        tgi_json_double(json, "end_ns", plan->end[t]);
        tgi_json_flat_array(json, "after");
        for (uint64_t e = preds->at[t]; e < preds->at[t + 1]; e++)
            tgi_json_uint(json, NULL, preds->task[e]);
        tgi_json_end(json);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

int tgi_plan_write(const struct tgi_workload *w, const struct tgi_plan *plan, const struct tgi_bounds *bounds, FILE *to,
                   struct tg_error *err)
{
    struct preds preds = {NULL, NULL};
    if (!find_preds(w->graph, &preds)) {
        free(preds.at);
        free(preds.task);
        return tgi_error_memory(err, "writing a plan");
    }
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_PRETTY);
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "schema", "tgraph.plan/1");
    tgi_json_string(&json, "name", w->graph->name);
    tgi_json_string(&json, "file", w->graph->space->file);
    tgi_json_uint(&json, "n_tasks", w->n_tasks);
    tgi_json_uint(&json, "n_edges", w->graph->n_edges);
    tgi_json_string(&json, "machine", w->machine->name);
    tgi_json_bool(&json, "is_rough", w->machine->is_rough);
    tgi_json_flat_array(&json, "devices");
    for (uint32_t d = 0; d < w->machine->n_devices; d++)
        tgi_json_string(&json, NULL, w->machine->devices[d].name);
    tgi_json_end(&json);
    tgi_json_string(&json, "policy", plan->policy);
    tgi_json_string(&json, "schedule_of", plan->chosen);
    tgi_json_double(&json, "makespan_ns", plan->makespan_ns);
    tgi_json_double(&json, "bound_ns", tgi_bounds_ns(bounds));
    tgi_json_double(&json, "memory_ns", bounds->ns[TGI_BOUND_MEMORY]);
    tgi_json_double(&json, "links_ns", bounds->ns[TGI_BOUND_LINKS]);
    put_tasks(w, plan, &preds, &json);
    tgi_json_end(&json);
    free(preds.at);
    free(preds.task);
    return 0;
}
