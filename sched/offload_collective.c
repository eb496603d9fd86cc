/* Collectives that do not come to an end.
 *
 * One that hangs (a rank that is missing, a link that is down) would keep its streams for ever, and no call of the driver
 * fails.  So each has a limit, its task's timeout_ms or a long one; time runs from where all that it waits for is done, as
 * it may be enqueued long before.  One whose time is over is given up: the library is told to abort, which lets everything behind
 * it go on, and the runs that may depend on the library fail. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/offload.h"

enum { DEFAULT_LIMIT_MS = 600000 };

struct tgi_collective {
    struct tgi_collective *next;
    struct tgi_offload_task *task; /* not to be touched any more once stamp is done */
    struct tgi_stamp stamp;        /* its end */
    struct tgi_waits waits;        /* until they are done it cannot begin; n 0: they are */
    uint64_t deadline_ns;          /* then */
    uint32_t limit_ms, n_ranks;
    uint32_t lanes[];              /* by rank */
};

bool tgi_offload_expect(struct tgi_offload *o, struct tgi_offload_task *t, const struct tgi_waits *waits, uint32_t n_ranks,
                        const uint32_t *lanes, struct tgi_stamp stamp)
{
    const struct tgi_attr *attr = tgi_graph_attr(t->instance->graph, tgi_offload_id(t));
    struct tgi_collective *c = malloc(sizeof *c + n_ranks * sizeof *c->lanes);
    if (!c)
        return false;
    c->next = o->collectives;
    c->task = t;
    c->stamp = stamp;
    c->waits = *waits;
    c->deadline_ns = 0;
    c->limit_ms = attr && attr->timeout_ms ? attr->timeout_ms : DEFAULT_LIMIT_MS;
    c->n_ranks = n_ranks;
    memcpy(c->lanes, lanes, n_ranks * sizeof *lanes);
    o->collectives = c;
    return true;
}

void tgi_offload_wait_for_collectives(struct tgi_offload *o, struct tgi_waits *waits)
{
    for (const struct tgi_collective *c = o->collectives; c; c = c->next)
        tgi_waits_add(o->order, waits, c->stamp);
}

static bool can_begin(struct tgi_offload *o, struct tgi_collective *c)
{
    while (c->waits.n && tgi_order_is_done(o->order, c->waits.stamps[c->waits.n - 1]))
        c->waits.n--;
    return c->waits.n == 0;
}

static void give_up(struct tgi_offload *o, const struct tgi_collective *c)
{
    struct tgi_instance *in = c->task->instance;
    struct tg_error err;
    o->devices->ops->give_up(o->devices, tgi_graph_op(in->graph, tgi_offload_id(c->task)), c->n_ranks, c->lanes, c->limit_ms,
                             &err);
    tgi_offload_fail_task(o, c->task, &err);
    for (struct tgi_offload_run *run = o->active; run; run = run->next)
        if (run->run != in->run)
            tgi_run_fail_whole(run->run, err.status, err.text);
}

void tgi_offload_look_at_collectives(struct tgi_offload *o)
{
    uint64_t now = tgi_now_ns();
    struct tgi_collective **at = &o->collectives, *c;
    while ((c = *at)) {
        bool is_over = o->is_dead || tgi_order_is_done(o->order, c->stamp);
        if (!is_over && !c->deadline_ns && can_begin(o, c))
            c->deadline_ns = now + (uint64_t)c->limit_ms * 1000000u;
        if (!is_over && c->deadline_ns && now > c->deadline_ns && o->devices->ops->give_up) {
            give_up(o, c);
            is_over = true;
        }
        if (!is_over) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        free(c);
    }
}

void tgi_offload_forget_collectives(struct tgi_offload *o)
{
    while (o->collectives) {
        struct tgi_collective *next = o->collectives->next;
        free(o->collectives);
        o->collectives = next;
    }
}
