/* repeat, while and if: the body of a control task is an instance of its own, started anew for each
 * round by whichever worker finished the round before.  No worker waits for a body. */
#include <string.h>

#include "graph/error.h"
#include "mem/hostops.h"
#include "sched/offload.h"

static bool condition_holds(const struct tgi_instance *in, uint32_t task)
{
    uint64_t word = in->graph->args[in->nodes[task].args];
    const struct tgi_buffer *b = tgi_space_buffer_of(in->graph->space, tgi_word_tile(word));
    static const unsigned char zero[8];
    return memcmp(tgi_store_address(in->run->store, word), zero, tg_dtype_size(b->dtype)) != 0;
}

/* 0: the body, 1: the other body, -1: none. */
static int which_body(const struct tgi_instance *in, uint32_t task, const struct tgi_op *op, uint64_t n_rounds)
{
    switch (op->kind) {
    case TGI_OP_REPEAT:
        return n_rounds < op->count && op->body->n_tasks ? 0 : -1;
    case TGI_OP_WHILE:
        return n_rounds < op->count && op->body->n_tasks && condition_holds(in, task) ? 0 : -1;
    default:
        if (n_rounds)
            return -1;
        if (condition_holds(in, task))
            return op->body->n_tasks ? 0 : -1;
        return op->body_else && op->body_else->n_tasks ? 1 : -1;
    }
}

int tgi_control_body(struct tgi_instance *parent, uint32_t task, uint32_t which, struct tgi_instance **body_p, struct tg_error *err)
{
    struct tg_run *run = parent->run;
    const struct tgi_op *op = tgi_graph_op(parent->graph, task);
    struct tgi_instance **body = &run->bodies[parent->nodes[task].op & TGI_NODE_OP][which];
    if (!*body) {
        int rc = tgi_instance_create(run, which ? op->body_else : op->body, body, err);
        if (rc)
            return rc;
        (*body)->parent = parent;
        (*body)->parent_task = task;
    }
    *body_p = *body;
    return 0;
}

struct tgi_instance *tgi_control_next(struct tgi_instance *parent, uint32_t task, uint64_t n_rounds)
{
    struct tg_run *run = parent->run;
    const struct tgi_op *op = tgi_graph_op(parent->graph, task);
    bool has_failed = atomic_load_explicit(&parent->marks[task], memory_order_relaxed) & TGI_MARK_FAILED;
    int which = has_failed ? -1 : which_body(parent, task, op, n_rounds);
    if (which < 0)
        return NULL;
    if (atomic_load_explicit(&run->stop, memory_order_relaxed) != TGI_STOP_NO) {
        tgi_task_skip(parent, task);
        return NULL;
    }
    struct tgi_instance *body;
    struct tg_error err;
    if (tgi_control_body(parent, task, (uint32_t)which, &body, &err)) {
        tgi_run_fail(run, parent, task, err.status, err.text);
        return NULL;
    }
    if (run->spans)
        tgi_record_round(body, parent, task, n_rounds);
    body->n_rounds = n_rounds;
    return body;
}

/* The task as a whole is done; a body that failed has marked it. */
static void control_end(struct tgi_instance *parent, uint32_t task)
{
    if (atomic_load_explicit(&parent->marks[task], memory_order_relaxed) & TGI_MARK_FAILED)
        tgi_poison_successors(parent, task);
    if (parent->spans)
        parent->spans[task].end_ns = tgi_now_ns() - tgi_run_begin_ns(parent->run);
}

void tgi_control_continue(struct tgi_worker *w, struct tgi_instance *body)
{
    struct tgi_instance *parent = body->parent;
    uint32_t task = body->parent_task;
    struct tgi_instance *next = tgi_control_next(parent, task, body->n_rounds + 1);
    if (next) {
        tgi_instance_start(w->runtime, w, next);
        return;
    }
    control_end(parent, task);
    tgi_worker_complete(w, parent, task);
}

static void body_done(struct tgi_worker *w, struct tgi_instance *body)
{
    /* What decides may be on a device. */
    if (body->offload && tgi_graph_op(body->parent->graph, body->parent_task)->kind != TGI_OP_REPEAT)
        tgi_offload_mail(w->runtime->offload, &body->offload->continued);
    else
        tgi_control_continue(w, body);
}

bool tgi_control_begin(struct tgi_worker *w, struct tgi_instance *parent, uint32_t task)
{
    struct tgi_instance *body;
    if (parent->spans) {
        parent->spans[task].start_ns = tgi_now_ns() - tgi_run_begin_ns(parent->run);
        parent->spans[task].worker = w->index;
        parent->spans[task].attempts = 1;
    }
    if (parent->run->needs_serial) {
        for (uint64_t n = 0; (body = tgi_control_next(parent, task, n)) != NULL; n++) {
            tgi_serial_execute(w, body, parent->run->options.seed);
            if (parent->offload) /* what decides may be on a device */
                tgi_offload_step(parent, task);
        }
    } else {
        body = tgi_control_next(parent, task, 0);
        if (body) {
            body->on_done = body_done;
            tgi_instance_start(w->runtime, w, body);
            return false;
        }
    }
    control_end(parent, task);
    return true;
}
