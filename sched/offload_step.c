/* Runs that execute one task at a time, on devices and CPUs in turn. */
#include <stdlib.h>

#include "graph/error.h"
#include "sched/offload_task.h"

static int wait_here(struct tgi_offload *o, const struct tgi_waits *waits, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < waits->n; i++)
        rc = tgi_order_synchronize(o->order, waits->stamps[i], err);
    return rc;
}

/* What a task on the host needs, or with `is_done` what one on a device has written, is valid on the host. */
static int bring_home(struct tgi_offload *o, struct tgi_offload_task *t, bool is_done, struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), n = tgi_offload_n_operands(tgi_graph_op(in->graph, task));
    struct tgi_operand *operands = malloc(((size_t)n + 1) * sizeof *operands);
    struct tgi_waits waits = {.n = 0};
    if (!operands)
        return tgi_error_memory(err, "submitting a task");
    tgi_offload_make_operands(in, task, TGI_HOST_NODE, operands);
    for (uint32_t i = 0; is_done && i < n; i++)
        operands[i].access = operands[i].access > TG_IN ? TG_IN : TG_SCALAR;
    int rc = tgi_replicas_acquire(in->run->offload->replicas, operands, n, &waits, err);
    if (rc == 0)
        rc = wait_here(o, &waits, err);
    if (rc == 0 && !is_done)
        tgi_replicas_publish(in->run->offload->replicas, operands, n, TGI_STAMP_NONE);
    free(operands);
    return rc;
}

/* The failure that the task's kernel has left on the device; false: none. */
static bool has_fault(struct tgi_offload *o, struct tgi_offload_task *t)
{
    uint64_t address;
    uint32_t n_failures;
    char text[512];
    struct tg_error err;
    int rc = o->devices->ops->fault(o->devices, t->node - 1u, &address, &n_failures, text, sizeof text, &err);
    if (rc < 0)
        tgi_offload_fail_task(o, t, &err);
    else if (rc > 0)
        tgi_run_fail(t->instance->run, t->instance, tgi_offload_id(t), TG_E_TASK_FAILED, text);
    return rc != 0;
}

static void step(void *arg)
{
    struct tgi_offload_task *t = arg;
    struct tgi_offload *o = t->instance->run->runtime->offload;
    struct tg_error err;
    int rc = 0;
    if (t->node == TGI_HOST_NODE) {
        t->stamp = TGI_STAMP_NONE;
        rc = bring_home(o, t, false, &err);
    } else {
        tgi_offload_submit(o, t);
        if (t->stamp.lane == TG_NONE)
            return; /* it was skipped, or has failed */
        rc = tgi_order_synchronize(o->order, t->stamp, &err);
        tgi_offload_look(o); /* its span belongs to this round */
        if (rc == 0 && !has_fault(o, t))
            rc = bring_home(o, t, true, &err);
    }
    if (rc)
        tgi_offload_fail_task(o, t, &err);
}

bool tgi_offload_step(struct tgi_instance *in, uint32_t task)
{
    struct tgi_offload_task *t = &in->offload->tasks[task];
    if (!in->via[task])
        return false;
    if (t->node == TGI_HOST_NODE && tgi_task_is_skipped(in, task))
        return false; /* who executes it sees that as well */
    tgi_offload_do(in->run->runtime->offload, step, t);
    return t->node != TGI_HOST_NODE;
}
