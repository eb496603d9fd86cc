#include "io/plan_json.h"

#include "io/json_out.h"

static void put_tasks(const struct tgi_workload *w, const struct tgi_plan *plan, struct tgi_json *json)
{
    char scratch[16];
    tgi_json_array(json, "tasks");
    for (uint32_t t = 0; t < plan->n_tasks; t++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "task", tgi_graph_task_name(w->graph, t, scratch));
        tgi_json_string(json, "device", w->machine->devices[plan->device[t]].name);
        tgi_json_double(json, "start_ns", plan->start[t]);
        tgi_json_double(json, "end_ns", plan->end[t]);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

void tgi_plan_write(const struct tgi_workload *w, const struct tgi_plan *plan, const struct tgi_bounds *bounds, FILE *to)
{
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
    put_tasks(w, plan, &json);
    tgi_json_end(&json);
}
