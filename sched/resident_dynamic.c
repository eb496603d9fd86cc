#include "sched/resident_dynamic.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/cluster.h"
#include "sched/resident_place.h"

/* The longer lists of words are where `n` counts them. */
static uint32_t *place_list(uint32_t *inside, uint32_t *list, uint32_t *n_p, uint32_t n, uint32_t *code_p)
{
    *code_p = n > 2 ? TGI_HEAD_LIST : n;
    if (n <= 2)
        return inside;
    inside[0] = *n_p;
    inside[1] = n;
    *n_p += n;
    return list + inside[0];
}

static void fill_in(struct tgi_resident_dynamic *p, const struct tgi_resident_dag *dag,
                    const struct tgi_resident_preds *preds, const uint8_t *is_urgent, uint32_t t)
{
    struct tgi_resident_task *d = &p->tasks[t];
    uint32_t n_preds = preds->at[t + 1] - preds->at[t], n_out = dag->succ_at[t + 1] - dag->succ_at[t], code[2];
    bool has_line = TGI_RESIDENT_HAS_LINE(dag->op[t]);
    memset(d, 0, sizeof *d);
    uint32_t *out = place_list(d->out, p->outs, &p->n_outs, n_out, &code[0]);
    uint32_t *in = place_list(d->in, p->ins, &p->n_ins, TGI_RESIDENT_HAS_INPUTS(dag->op[t]) ? n_preds : 0, &code[1]);
    d->id = t;
    d->n_wait = n_preds;
    d->head = dag->op[t] | code[0] << 12 | code[1] << 14;
    for (uint32_t i = 0; i < n_out; i++) {
        uint32_t to = dag->succ[dag->succ_at[t] + i];
        out[i] = to | (is_urgent && is_urgent[to] ? TGI_NEXT_URGENT : 0) |
                 (preds->at[to + 1] - preds->at[to] == 1 ? TGI_NEXT_LONE : 0);
    }
    for (uint32_t i = 0; TGI_RESIDENT_HAS_INPUTS(dag->op[t]) && i < n_preds; i++) {
        uint32_t from = preds->task[preds->at[t] + i];
        in[i] = from | (has_line && TGI_RESIDENT_HAS_LINE(dag->op[from]) ? TGI_IN_LINE : 0);
    }
    if (n_preds == 0)
        p->roots[p->n_roots++] = t;
    if (p->args)
        p->args[t] = dag->arg[t];
    if (TGI_RESIDENT_HAS_WORDS(dag->op[t])) {
        d->in[0] = (uint32_t)dag->arg[t];
        d->in[1] = (uint32_t)(dag->arg[t] >> 32);
    }
}

static struct tgi_resident_dynamic *program_new(const struct tgi_resident_dag *dag)
{
    struct tgi_resident_dynamic *p = calloc(1, sizeof *p);
    size_t n = (size_t)dag->n_tasks + 1, n_edges = (size_t)dag->succ_at[dag->n_tasks] + 1;
    if (!p)
        return NULL;
    p->n_tasks = dag->n_tasks;
    p->tasks = aligned_alloc(sizeof *p->tasks, n * sizeof *p->tasks);
    p->outs = malloc(n_edges * sizeof *p->outs);
    p->ins = malloc(n_edges * sizeof *p->ins);
    p->roots = malloc(n * sizeof *p->roots);
    p->args = dag->arg ? malloc(n * sizeof *p->args) : NULL;
    if (p->tasks && p->outs && p->ins && p->roots && (p->args || !dag->arg))
        return p;
    tgi_resident_dynamic_destroy(p);
    return NULL;
}

int tgi_resident_dynamic_create(const struct tgi_resident_dag *dag, const uint8_t *is_urgent,
                                struct tgi_resident_dynamic **program_p, struct tg_error *err)
{
    struct tgi_resident_preds preds;
    if (dag->n_tasks > TGI_NEXT_ID(UINT32_MAX) / 2)
        return tgi_error(err, TG_E_UNSUPPORTED, "resident program: more than %u tasks", TGI_NEXT_ID(UINT32_MAX) / 2);
    for (uint32_t t = 0; t < dag->n_tasks && !dag->arg; t++)
        if (dag->op[t] > TGI_RESIDENT_HASH && !TGI_RESIDENT_HAS_LINE(dag->op[t]))
            return tgi_error(err, TG_E_INVALID, "resident program: task %" PRIu32 " needs an argument", t);
    for (uint32_t t = 0; t < dag->n_tasks; t++)
        if (TGI_RESIDENT_IS_ARITHMETIC(dag->op[t]))
            return tgi_error(err, TG_E_UNSUPPORTED, "resident program: task %" PRIu32 " is of an op that only static programs have", t);
    int rc = tgi_resident_preds_init(&preds, dag, err);
    if (rc)
        return rc;
    struct tgi_resident_dynamic *p = program_new(dag);
    if (p)
        for (uint32_t t = 0; t < dag->n_tasks; t++)
            fill_in(p, dag, &preds, is_urgent, t);
    tgi_resident_preds_fini(&preds);
    if (!p)
        return tgi_error_memory(err, "making a resident program");
    *program_p = p;
    return 0;
}

/* Nothing is placed: slots are tasks, no worker has any of its own. */
int tgi_resident_dynamic_plan(const struct tgi_resident_dag *dag, uint32_t n_blocks, uint32_t n_workers_each, uint32_t n_spawn_words,
                              struct tgi_resident_program **program_p, struct tg_error *err)
{
    struct tgi_resident_dynamic *d;
    int rc = tgi_resident_dynamic_create(dag, NULL, &d, err);
    if (rc)
        return rc;
    uint32_t n = d->n_tasks, n_workers = n_blocks * n_workers_each;
    struct tgi_resident_program *p = calloc(1, sizeof *p);
    if (p) {
        *p = (struct tgi_resident_program){
            .width = TGI_RESIDENT_WARP, .n_tasks = n, .n_slots = n, .n_blocks = n_blocks, .n_workers_each = n_workers_each, .n_workers = n_workers,
            .n_outs = d->n_outs, .n_ins = d->n_ins, .n_counters = n, .n_devices = 1, .tasks = d->tasks, .outs = d->outs, .ins = d->ins,
            .roots = d->roots, .n_roots = d->n_roots, .n_made_each = n_spawn_words ? TGI_SPAWN_MAX_EACH : 0, .n_made_words = n_spawn_words,
            .first = calloc(n_workers + 1u, sizeof *p->first), .slot_of = malloc((n + 1u) * sizeof *p->slot_of)};
        d->tasks = NULL;
        d->outs = d->ins = d->roots = NULL;
    }
    tgi_resident_dynamic_destroy(d);
    if (!p || !p->first || !p->slot_of) {
        tgi_resident_program_destroy(p);
        return tgi_error_memory(err, "making a resident program");
    }
    for (uint32_t t = 0; t < n; t++)
        p->slot_of[t] = t;
    *program_p = p;
    return 0;
}

void tgi_resident_dynamic_destroy(struct tgi_resident_dynamic *p)
{
    if (!p)
        return;
    free(p->tasks);
    free(p->outs);
    free(p->ins);
    free(p->roots);
    free(p->args);
    free(p);
}
