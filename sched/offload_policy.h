/* A policy of sched/policy.h against a real clock: the same code that decides in the simulator decides here which device
 * gets which task of a run, and in which order.
 *
 * The machine it sees is the runtime's: memory 0 and device 0 are the host's and its workers, memory and device i + 1 device
 * i of the backend, which are the numbers of nodes.  Times of tasks are measured ones as far as there are any.  A policy that
 * plans ahead makes its plan when the run is created, and the plan is followed; then devices without work may still take
 * others' tasks, as what is measured later than a plan is made counts more.
 *
 * Kernels, copies, fills and barriers of the run's graph are the policy's.  Control tasks and collectives stay where the
 * placement has put them, and so do tasks of bodies.  With a policy every task passes through the submitter, whose thread
 * makes all calls but create, destroy and host_done. */
#ifndef TGI_SCHED_OFFLOAD_POLICY_H
#define TGI_SCHED_OFFLOAD_POLICY_H

#include "sched/offload.h"
#include "sched/plan.h"

struct tgi_offload_policy {
    const struct tgi_policy_ops *ops;
    struct tgi_policy *policy;
    struct tg_run *run;
    struct tgi_machine machine;
    struct tgi_workload *workload;
    struct tgi_assignment assignment; /* of a plan; device NULL: none */
    const char *chosen;               /* whose plan it is, and which of them; NULL: none of ours */
    uint32_t variant;
    uint8_t *via;                     /* by task of any graph of the run: all 1 */
    uint32_t n_ready;                 /* pushed and not taken */
    /* Tasks that workers have and have not done.  The submitter counts up, whoever is done with one counts down, both
     * relaxed: nothing but how many more are handed out depends on it. */
    _Atomic uint32_t n_on_host;
};

/* Which policy the run's options name; NULL: none.  TG_E_BAD_VALUE: there is none of the name.  TG_E_UNSUPPORTED: it has
 * nothing to decide, or may not. */
int tgi_offload_policy_find(const struct tg_run *run, const struct tgi_policy_ops **ops_p, struct tg_error *err);
/* Tasks are placed and replicas are there. */
int tgi_offload_policy_create(struct tg_run *run, const struct tgi_policy_ops *ops, struct tgi_offload_policy **policy_p,
                              struct tg_error *err);
void tgi_offload_policy_destroy(struct tgi_offload_policy *policy);
/* Where a plan puts a task, as a node; TG_NONE: nothing is planned. */
uint32_t tgi_offload_policy_planned(const struct tgi_offload_policy *policy, uint32_t task);

/* What tasks of the plan had to choose from, devices being nodes; none without a plan of its own. */
int tgi_offload_policy_explain(const struct tgi_offload_policy *policy, struct tgi_offers *offers_p, struct tg_error *err);

/* A task is ready; false: it is not the policy's. */
bool tgi_offload_policy_push(struct tgi_offload *o, struct tgi_offload_task *task);
/* The next task for a node, of any run with a policy; NULL: there is none, or the node has enough. */
struct tgi_offload_task *tgi_offload_policy_pop(struct tgi_offload *o, uint32_t node);
/* The same of what is another node's. */
struct tgi_offload_task *tgi_offload_policy_steal(struct tgi_offload *o, uint32_t node);
/* A task goes to the workers; a worker is done with it. */
void tgi_offload_policy_to_host(struct tgi_offload_task *task);
void tgi_offload_policy_host_done(struct tgi_instance *instance, uint32_t task);

#endif
