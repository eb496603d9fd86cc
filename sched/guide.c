#include "sched/guide.h"

#include <stdlib.h>

#include "graph/error.h"

/* device: by device of the plan, what it is on the machine. */
static int assign(const struct tgi_guide_plan *plan, const struct tgi_workload *w, const uint32_t *device,
                  struct tgi_assignment *a, struct tg_error *err)
{
    char scratch[16];
    for (uint32_t t = 0; t < w->n_tasks; t++) {
        uint32_t d = device[plan->device[t]];
        const char *name = plan->devices[plan->device[t]];
        if (d == TG_NONE)
            return tgi_error(err, TG_E_NO_DEVICE, "the plan puts task \"%s\" on %s, which this run does not have",
                             tgi_graph_task_name(w->graph, t, scratch), name);
        if (!tgi_workload_allows(w, t, d))
            return tgi_error(err, TG_E_NO_VARIANT, "the plan puts task \"%s\" on %s, which cannot execute it",
                             tgi_graph_task_name(w->graph, t, scratch), name);
        a->device[t] = d;
        a->order[t] = plan->start[t];
    }
    a->makespan_ns = plan->makespan_ns;
    return 0;
}

int tgi_guide_assign(const struct tgi_guide_plan *plan, const struct tgi_workload *w,
                     uint32_t (*number)(void *user, const char *name), void *user, struct tgi_assignment *a_p,
                     struct tg_error *err)
{
    struct tgi_assignment a;
    if (plan->n_tasks != w->n_tasks)
        return tgi_error(err, TG_E_BAD_VALUE, "the plan is of another graph: it has %u tasks, the graph has %u", plan->n_tasks,
                         w->n_tasks);
    uint32_t *device = malloc(((size_t)plan->n_devices + 1) * sizeof *device);
    int rc = device ? tgi_assignment_init(&a, w->n_tasks, err) : tgi_error_memory(err, "following a plan");
    if (rc == 0) {
        for (uint32_t d = 0; d < plan->n_devices; d++)
            device[d] = number(user, plan->devices[d]);
        rc = assign(plan, w, device, &a, err);
        if (rc)
            tgi_assignment_fini(&a);
        else
            *a_p = a;
    }
    free(device);
    return rc;
}
