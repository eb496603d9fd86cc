/* How much a device is given at a time, and who takes over what waits for another one.
 *
 * Pace: see device_queue.h; what a command takes goes by a device's last ones.
 *
 * Stealing: a device with nothing ready and less than half of its queue takes from the fullest one a task that that
 * one would come to late, if its data is moved, and its results back, in less time than it would have waited. */
#include "sched/offload.h"

#include "sched/device_queue.h"
#include "sched/offload_policy.h"
#include "sched/placement.h"

enum {
    FIRST_LIMIT = 64, /* commands, until something was measured */
    N_CANDIDATES = 8
};

/* ---- Pace ---------------------------------------------------------------------------------*/

static uint64_t n_pending(const struct tgi_offload *o, uint32_t device)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < TGI_COMPUTE_LANES; k++)
        n += tgi_order_n_pending(o->order, tgi_lane_of(device, k));
    return n;
}

static uint64_t n_done(const struct tgi_offload *o, uint32_t device)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < TGI_COMPUTE_LANES; k++)
        n += tgi_order_tail(o->order, tgi_lane_of(device, k)).seq;
    return n - n_pending(o, device);
}

void tgi_offload_measure(struct tgi_offload *o)
{
    for (uint32_t d = 0; d < o->devices->n_devices; d++) {
        struct tgi_pace *p = &o->pace[d];
        uint64_t done = n_done(o, d), now;
        bool is_busy = n_pending(o, d) > 0;
        if (done == p->n_done && (p->seen_ns != 0) == is_busy)
            continue;
        now = tgi_now_ns();
        if (p->seen_ns && done > p->n_done) {
            double ns = (double)(now - p->seen_ns) / (double)(done - p->n_done);
            p->command_ns += p->command_ns > 0 ? (ns - p->command_ns) / 8 : ns;
            p->limit = tgi_queue_limit(p->command_ns);
        }
        p->n_done = done;
        p->seen_ns = is_busy ? now : 0;
    }
}

static uint32_t limit(const struct tgi_offload *o, uint32_t device)
{
    uint32_t n = o->pace[device].limit;
    return n ? n : FIRST_LIMIT;
}

uint32_t tgi_offload_room(const struct tgi_offload *o, uint32_t node)
{
    if (node == TGI_HOST_NODE || o->is_dead)
        return UINT32_MAX;
    uint64_t n = n_pending(o, node - 1), most = limit(o, node - 1);
    return n < most ? (uint32_t)(most - n) : 0;
}

/* Progress is seen at events: several of them in what is queued, however little that is. */
uint32_t tgi_offload_seal_every(const struct tgi_offload *o, uint32_t device) { return limit(o, device) / 8; }

/* ---- Stealing -----------------------------------------------------------------------------*/

static bool is_movable(const struct tgi_offload_task *t, uint32_t thief)
{
    const struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t);
    return tgi_graph_op(in->graph, task)->kind == TGI_OP_KERNEL && !(in->nodes[task].op & TGI_NODE_SHARED) && !t->has_data_ahead &&
           tgi_placement_allows(in->run->offload->placement, in->graph, task, thief);
}

/* Of bringing the task's data from the victim, and what it writes back there. */
static double move_ns(const struct tgi_offload *o, const struct tgi_offload_task *t, uint32_t victim, uint32_t thief)
{
    const struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), n = tgi_graph_n_words(in->graph, task);
    const uint64_t *words = in->graph->args + in->nodes[task].args;
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    uint8_t accesses[TG_MAX_PARAMS];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        accesses[i] = (uint8_t)op->params[i].access;
        if (op->params[i].access != TG_SCALAR && op->params[i].access != TG_IN && words[i] != TGI_WORD_NULL)
            bytes += tgi_space_buffer_of(in->graph->space, tgi_word_tile(words[i]))->tile_bytes;
    }
    bytes += tgi_replicas_missing(in->run->offload->replicas, words, accesses, n, thief + 1);
    return tgi_placement_copy_ns(o->devices, victim + 1, thief + 1, bytes);
}

static struct tgi_offload_task *steal_from(struct tgi_offload *o, uint32_t victim, uint32_t thief)
{
    uint64_t ahead = n_pending(o, victim) + o->ready[victim + 1].n;
    double gain_ns = (double)ahead * o->pace[victim].command_ns - (double)n_pending(o, thief) * o->pace[thief].command_ns;
    struct tgi_ready *r = &o->ready[victim + 1];
    for (uint32_t i = r->n; i-- > 0 && i + N_CANDIDATES >= r->n;)
        if (is_movable(r->items[i].task, thief) && move_ns(o, r->items[i].task, victim, thief) < gain_ns)
            return tgi_ready_remove(r, i);
    return NULL;
}

struct tgi_offload_task *tgi_offload_steal(struct tgi_offload *o, uint32_t node)
{
    uint32_t thief = node - 1, victim = TG_NONE, most = 0;
    if (o->n_at_policies == 0 && (node == TGI_HOST_NODE || o->devices->n_devices == 1))
        return NULL;
    if (node == TGI_HOST_NODE)
        return tgi_offload_policy_steal(o, node);
    if (o->is_dead || o->ready[node].n || n_pending(o, thief) >= limit(o, thief) / 2)
        return NULL;
    for (uint32_t d = 0; d < o->devices->n_devices; d++)
        if (d != thief && o->ready[d + 1].n > most && tgi_offload_room(o, d + 1) == 0) {
            most = o->ready[d + 1].n;
            victim = d;
        }
    struct tgi_offload_task *t = victim == TG_NONE ? NULL : steal_from(o, victim, thief);
    if (!t)
        return tgi_offload_policy_steal(o, node);
    t->node = (uint8_t)node;
    o->n_ready--;
    t->instance->run->offload->n_stolen++;
    return t;
}
