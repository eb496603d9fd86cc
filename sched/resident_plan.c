/* Tables from a placement.
 *
 * Tasks are gone through twice in the order of their slots: once to decide what each waits for and to count words, once to
 * fill them in.  A task's edges from other workers are all of one kind: cells if everything behind them is in
 * them, counters otherwise; in shared memory if all producers are of the block and there is room, far ones if one is of another
 * device, else in global memory.  A task a block wide is in its block's order with all others of the block, so edges between it and
 * these are carried by that; its slots beside the leading one are filled in last. */
#include "sched/resident_plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/resident_peers.h"
#include "mem/resident_way.h"
#include "sched/resident_place.h"

enum { MAX_WORKERS_EACH = 32, COUNTER_SHARE = 8 }; /* one part in so many of shared memory is for counters */

/* What an edge is to the task it leads to. */
enum { BY_ORDER, AT_HAND, CROSS, POSTED };

struct build {
    const struct tgi_resident_dag *dag;
    const struct tgi_resident_preds *preds;
    const uint32_t *worker_of;
    struct tgi_resident_program *p;
    struct edge {
        uint32_t slot; /* of the predecessor */
        uint8_t is;
        uint8_t has_line; /* it leaves one */
    } *edges;          /* as preds->task */
    uint32_t *task_at; /* by slot */
    uint8_t *is_member; /* by slot: of a task a block wide, and does not lead */
    uint32_t *n_out;   /* by slot; while words are filled in: how many are missing */
    uint16_t *pushed;  /* by slot: devices to which it brings what it leaves, a bit each; NULL: there is one device */
    uint32_t max_shared_cells, max_shared_counters; /* room in each block */
    uint32_t block, n_shared_cells, n_shared_counters; /* in the block at hand */
};

/* ---- What an edge is ----------------------------------------------------------------------*/

static bool is_block(const struct tgi_resident_dag *dag, uint32_t t) { return dag->is_block && dag->is_block[t]; }

/* Both belong to one block, and one of them to all of its workers. */
static bool is_by_block(const struct build *b, uint32_t from, uint32_t t)
{
    uint32_t each = b->p->n_workers_each;
    return (is_block(b->dag, from) || is_block(b->dag, t)) && b->worker_of[from] / each == b->worker_of[t] / each;
}

static void look_at_edge(const struct build *b, struct edge *e, uint32_t from, uint32_t slot, uint32_t t)
{
    bool is_warp = b->p->width == TGI_RESIDENT_WARP;
    uint32_t worker = b->worker_of[t], first = b->p->first[worker];
    e->slot = b->p->slot_of[from];
    e->has_line = TGI_RESIDENT_HAS_LINE(b->dag->op[from]);
    if (b->dag->op[from] == TGI_RESIDENT_POST)
        e->is = POSTED;
    else if (is_by_block(b, from, t))
        e->is = BY_ORDER;
    else if (e->slot < first || e->slot >= b->p->first[worker + 1])
        e->is = CROSS;
    else if (is_warp)
        e->is = e->slot + 1 == slot && tgi_resident_is_small(b->dag->op[t]) ? AT_HAND : BY_ORDER;
    else
        e->is = (e->slot - first) / TGI_RESIDENT_BATCH < (slot - first) / TGI_RESIDENT_BATCH ? BY_ORDER : CROSS;
}

static bool has_cells(uint32_t wait) { return wait == TGI_WAIT_CELLS || wait == TGI_WAIT_SHARED_CELLS; }

/* The result has to be fetched from memory. */
static bool is_fetched(const struct edge *e, uint32_t op, uint32_t wait)
{
    return TGI_RESIDENT_HAS_INPUTS(op) && (e->is == BY_ORDER || (e->is == CROSS && !has_cells(wait)));
}

static enum tgi_resident_wait far_wait_of(const struct build *b, uint32_t op, uint32_t n_cross, bool is_clean)
{
    uint32_t most = TGI_RESIDENT_HAS_LINE(op) ? TGI_FAR_MAX_LINES : TGI_RESIDENT_MAX_CELLS;
    return (is_clean || !b->preds->has_memory) && n_cross <= most ? TGI_WAIT_CELLS : TGI_WAIT_COUNTER;
}

static enum tgi_resident_wait wait_of(const struct build *b, uint32_t n_cross, bool is_clean, bool is_local)
{
    if (n_cross == 0)
        return TGI_WAIT_NONE;
    if (is_clean && n_cross <= TGI_RESIDENT_MAX_CELLS)
        return is_local && b->n_shared_cells + n_cross <= b->max_shared_cells ? TGI_WAIT_SHARED_CELLS : TGI_WAIT_CELLS;
    return is_local && b->n_shared_counters < b->max_shared_counters ? TGI_WAIT_SHARED_COUNTER : TGI_WAIT_COUNTER;
}

/* ---- First pass: kinds and numbers ----------------------------------------------------------*/

/* How many cells a predecessor tells. */
static uint32_t n_far_cells_each(uint32_t op) { return TGI_RESIDENT_HAS_LINE(op) ? TGI_RESIDENT_LINE_WORDS : 1; }

/* The same of far ones. */
static void take_far_place(struct build *b, struct tgi_resident_task *d, enum tgi_resident_wait kind, uint32_t n_cross)
{
    struct tgi_resident_program *p = b->p;
    bool is_cells = has_cells(kind);
    d->head |= TGI_HEAD_WAITS_FAR;
    d->wait = is_cells ? p->n_far_cells : p->n_far_counters;
    d->n_wait = n_cross;
    *(is_cells ? &p->n_far_cells : &p->n_far_counters) += is_cells ? n_cross * n_far_cells_each(b->dag->op[d->id]) : 1;
    *(is_cells ? &p->n_far_cell_edges : &p->n_far_counter_edges) += n_cross;
}

/* Takes the next counter or cells of the kind. */
static void take_place(struct build *b, struct tgi_resident_task *d, enum tgi_resident_wait kind, uint32_t n_cross)
{
    struct tgi_resident_program *p = b->p;
    uint32_t *next = kind == TGI_WAIT_CELLS           ? &p->n_cells
                     : kind == TGI_WAIT_SHARED_CELLS  ? &b->n_shared_cells
                     : kind == TGI_WAIT_COUNTER       ? &p->n_counters
                                                      : &b->n_shared_counters;
    d->wait = *next;
    d->n_wait = n_cross;
    *next += has_cells(kind) ? n_cross : 1;
    if (kind == TGI_WAIT_CELLS)
        p->n_cell_edges += n_cross;
    else if (kind == TGI_WAIT_COUNTER)
        p->n_counter_edges += n_cross;
    else
        p->n_shared_edges += n_cross;
    if (p->n_shared_cells < b->n_shared_cells)
        p->n_shared_cells = b->n_shared_cells;
    if (p->n_shared_counters < b->n_shared_counters)
        p->n_shared_counters = b->n_shared_counters;
}

/* What is said of all edges to a task. */
struct edges_to {
    uint32_t n_cross; /* from other workers */
    bool is_clean, is_local, is_far, has_previous;
};

static void look_at_edges(struct build *b, uint32_t slot, uint32_t t, struct edges_to *to)
{
    uint32_t n_posted = 0, begin = b->block * b->p->n_workers_each, end = begin + b->p->n_workers_each;
    bool several = b->p->n_devices > 1;
    uint32_t n_on_device = b->p->n_workers / b->p->n_devices, home = several ? begin / n_on_device * n_on_device : 0;
    uint32_t home_begin = b->p->first[home], home_end = b->p->first[home + n_on_device];
    *to = (struct edges_to){.is_clean = tgi_resident_is_small(b->dag->op[t]), /* a line is made from what lies in memory */
                            .is_local = true};
    for (uint32_t i = b->preds->at[t]; i < b->preds->at[t + 1]; i++) {
        uint32_t from = b->preds->task[i];
        struct edge *e = &b->edges[i];
        look_at_edge(b, e, from, slot, t);
        to->has_previous |= e->is == AT_HAND;
        b->p->n_posted_edges += e->is == POSTED;
        n_posted += e->is == POSTED;
        if (e->is != CROSS)
            continue;
        to->n_cross++;
        b->n_out[e->slot]++;
        to->is_clean &= b->preds->is_clean[from];
        to->is_local &= e->slot >= b->p->first[begin] && e->slot < b->p->first[end];
        if (several)
            to->is_far |= e->slot < home_begin || e->slot >= home_end;
    }
    b->p->n_order_edges += b->preds->at[t + 1] - b->preds->at[t] - to->n_cross - n_posted;
}

static void decide(struct build *b, uint32_t slot)
{
    uint32_t t = b->task_at[slot], op = b->dag->op[t], block = b->worker_of[t] / b->p->n_workers_each, n_in = 0;
    struct edges_to to;
    if (b->is_member[slot])
        return;
    struct tgi_resident_task *d = &b->p->tasks[slot];
    if (block != b->block) {
        b->block = block;
        b->n_shared_cells = b->n_shared_counters = 0;
    }
    look_at_edges(b, slot, t, &to);
    enum tgi_resident_wait wait = to.is_far ? far_wait_of(b, op, to.n_cross, to.is_clean)
                                            : wait_of(b, to.n_cross, to.is_clean, to.is_local);
    memset(d, 0, sizeof *d);
    d->id = t;
    b->p->n_posts += op == TGI_RESIDENT_POST;
    b->p->n_block_tasks += is_block(b->dag, t);
    if (to.is_far)
        take_far_place(b, d, wait, to.n_cross);
    else if (wait != TGI_WAIT_NONE)
        take_place(b, d, wait, to.n_cross);
    for (uint32_t i = b->preds->at[t]; i < b->preds->at[t + 1]; i++)
        n_in += is_fetched(&b->edges[i], op, wait);
    d->head |= op | (uint32_t)wait << 8 | (n_in > 2 ? TGI_HEAD_LIST : n_in) << 14 | (to.has_previous ? TGI_HEAD_PREVIOUS : 0) |
               (is_block(b->dag, t) ? TGI_HEAD_BLOCK : 0);
    if (n_in > 2) {
        d->in[0] = b->p->n_ins;
        d->in[1] = n_in;
        b->p->n_ins += n_in;
    }
}

static void count_outs(struct build *b, uint32_t slot)
{
    uint32_t n = b->n_out[slot];
    struct tgi_resident_task *d = &b->p->tasks[slot];
    if (b->is_member[slot])
        return;
    d->head |= (n > 2 ? TGI_HEAD_LIST : n) << 12;
    if (n > 2) {
        d->out[0] = b->p->n_outs;
        d->out[1] = n;
        b->p->n_outs += n;
    }
}

/* ---- Second pass: words -------------------------------------------------------------------*/

static void put_out(struct build *b, uint32_t slot, uint32_t word)
{
    struct tgi_resident_task *d = &b->p->tasks[slot];
    uint32_t k = --b->n_out[slot];
    *(TGI_HEAD_N_OUT(d->head) == TGI_HEAD_LIST ? &b->p->outs[d->out[0] + k] : &d->out[k]) = word;
    if (TGI_OUT_IS_FAR(word))
        d->head |= TGI_HEAD_TELLS_FAR;
}

/* Where it waits far: what its k-th predecessor on another worker tells.  The first word to a device whose reader takes what
 * the predecessor leaves says that it is to be brought there. */
static uint32_t far_word(struct build *b, const struct tgi_resident_task *d, const struct edge *e, uint32_t k)
{
    uint32_t n_on_device = b->p->n_blocks / b->p->n_devices;
    uint32_t device = b->worker_of[d->id] / b->p->n_workers_each / n_on_device;
    uint32_t home = b->worker_of[b->task_at[e->slot]] / b->p->n_workers_each / n_on_device, index;
    if (has_cells(TGI_HEAD_WAIT(d->head)))
        return TGI_OUT(TGI_OUT_FAR_CELL, TGI_FAR(device, d->wait + k * n_far_cells_each(b->dag->op[d->id])) |
                                             (TGI_RESIDENT_HAS_LINE(b->dag->op[d->id]) ? TGI_FAR_LINE : 0));
    index = TGI_FAR(device, d->wait) | (d->n_wait == 1 ? TGI_FAR_LONE : 0);
    if (device != home && is_fetched(e, b->dag->op[d->id], TGI_HEAD_WAIT(d->head)) && !(b->pushed[e->slot] >> device & 1)) {
        b->pushed[e->slot] |= (uint16_t)(1u << device);
        index |= TGI_FAR_PUSH;
    }
    return TGI_OUT(TGI_OUT_FAR_COUNTER, index);
}

static uint32_t out_word(const struct tgi_resident_task *d, uint32_t k)
{
    switch (TGI_HEAD_WAIT(d->head)) {
    case TGI_WAIT_CELLS:
        return TGI_OUT(TGI_OUT_CELL, d->wait + k);
    case TGI_WAIT_SHARED_CELLS:
        return TGI_OUT(TGI_OUT_SHARED_CELL, d->wait + k);
    case TGI_WAIT_SHARED_COUNTER:
        return TGI_OUT(TGI_OUT_SHARED_COUNTER, d->wait);
    default:
        return TGI_OUT(d->n_wait == 1 ? TGI_OUT_LONE_COUNTER : TGI_OUT_COUNTER, d->wait);
    }
}

/* A slot of a task a block wide that does not lead it. */
static void fill_in_member(struct build *b, uint32_t slot)
{
    uint32_t t = b->task_at[slot];
    uint64_t arg = b->dag->arg[t];
    b->p->tasks[slot] = (struct tgi_resident_task){.head = b->dag->op[t] | TGI_HEAD_BLOCK | TGI_HEAD_MEMBER, .id = t,
                                                   .in = {(uint32_t)arg, (uint32_t)(arg >> 32)}};
    b->p->args[slot] = arg;
}

static void fill_in(struct build *b, uint32_t slot)
{
    if (b->is_member[slot]) {
        fill_in_member(b, slot);
        return;
    }
    uint32_t t = b->task_at[slot], n_cross = 0, n_in = 0;
    struct tgi_resident_task *d = &b->p->tasks[slot];
    uint32_t *in = TGI_HEAD_N_IN(d->head) == TGI_HEAD_LIST ? &b->p->ins[d->in[0]] : d->in;
    for (uint32_t i = b->preds->at[t]; i < b->preds->at[t + 1]; i++) {
        const struct edge *e = &b->edges[i];
        bool is_line = e->has_line && TGI_RESIDENT_HAS_LINE(b->dag->op[t]);
        if (e->is == CROSS) {
            bool is_far = (d->head & TGI_HEAD_WAITS_FAR) != 0;
            put_out(b, e->slot, is_far ? far_word(b, d, e, n_cross) : out_word(d, n_cross));
            n_cross++;
        }
        if (is_fetched(e, b->dag->op[t], TGI_HEAD_WAIT(d->head)))
            in[n_in++] = e->slot | (is_line ? TGI_IN_LINE : 0);
    }
    if (b->p->args)
        b->p->args[slot] = b->dag->arg[t];
    if (TGI_RESIDENT_HAS_WORDS(b->dag->op[t])) {
        d->in[0] = (uint32_t)b->dag->arg[t];
        d->in[1] = (uint32_t)(b->dag->arg[t] >> 32);
    }
}

/* ---- Building -----------------------------------------------------------------------------*/

/* The workers that a task has slots in, of which the first one's leads. */
static void workers_of(const struct build *b, uint32_t t, uint32_t *begin_p, uint32_t *end_p)
{
    uint32_t each = b->p->n_workers_each;
    bool is_wide = is_block(b->dag, t);
    *begin_p = is_wide ? b->worker_of[t] / each * each : b->worker_of[t];
    *end_p = *begin_p + (is_wide ? each : 1);
}

static void number_slots(struct build *b, const uint32_t *order)
{
    struct tgi_resident_program *p = b->p;
    uint32_t begin, end;
    for (uint32_t t = 0; t < p->n_tasks; t++) {
        workers_of(b, t, &begin, &end);
        for (uint32_t w = begin; w < end; w++)
            p->first[w + 1]++;
    }
    for (uint32_t w = 0; w < p->n_workers; w++)
        p->first[w + 1] += p->first[w];
    /* first[w] moves to the end of w, which is the beginning of w + 1; then everything moves back by one. */
    for (uint32_t k = 0; k < p->n_tasks; k++) {
        workers_of(b, order[k], &begin, &end);
        p->slot_of[order[k]] = p->first[begin];
        for (uint32_t w = begin; w < end; w++) {
            uint32_t slot = p->first[w]++;
            b->task_at[slot] = order[k];
            b->is_member[slot] = w > begin;
        }
    }
    memmove(p->first + 1, p->first, p->n_workers * sizeof *p->first);
    p->first[0] = 0;
}

static bool make_tables(struct build *b, const uint32_t *order)
{
    struct tgi_resident_program *p = b->p;
    number_slots(b, order);
    for (uint32_t slot = 0; slot < p->n_slots; slot++)
        decide(b, slot);
    for (uint32_t slot = 0; slot < p->n_slots; slot++)
        count_outs(b, slot);
    p->outs = malloc(((size_t)p->n_outs + 1) * sizeof *p->outs);
    p->ins = malloc(((size_t)p->n_ins + 1) * sizeof *p->ins);
    if (!p->outs || !p->ins)
        return false;
    for (uint32_t slot = 0; slot < p->n_slots; slot++)
        fill_in(b, slot);
    for (uint32_t slot = 0; slot < p->n_slots; slot++)
        p->tasks[slot].head |= (uint32_t)tgi_resident_way(&p->tasks[slot], p->outs) << TGI_HEAD_WAY_AT;
    return true;
}

static uint64_t n_slots_of(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape)
{
    uint64_t n = dag->n_tasks;
    for (uint32_t t = 0; t < dag->n_tasks; t++)
        n += is_block(dag, t) ? shape->n_workers_each - 1 : 0;
    return n;
}

static struct tgi_resident_program *program_new(const struct tgi_resident_dag *dag,
                                                const struct tgi_resident_shape *shape, uint32_t n_devices)
{
    struct tgi_resident_program *p = calloc(1, sizeof *p);
    size_t n_tasks = (size_t)dag->n_tasks + 1, n = (size_t)n_slots_of(dag, shape) + 1;
    if (!p)
        return NULL;
    p->n_slots = (uint32_t)n - 1;
    p->width = shape->width;
    p->n_tasks = dag->n_tasks;
    p->n_blocks = shape->n_blocks;
    p->n_workers_each = shape->n_workers_each;
    p->n_workers = shape->n_blocks * shape->n_workers_each;
    p->n_devices = n_devices;
    p->tasks = aligned_alloc(sizeof *p->tasks, n * sizeof *p->tasks);
    p->first = calloc((size_t)p->n_workers + 2, sizeof *p->first);
    p->slot_of = malloc(n_tasks * sizeof *p->slot_of);
    p->args = dag->arg ? malloc(n * sizeof *p->args) : NULL;
    if (p->tasks && p->first && p->slot_of && (p->args || !dag->arg))
        return p;
    tgi_resident_program_destroy(p);
    return NULL;
}

static int check_devices(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *s, uint32_t n, struct tg_error *err)
{
    if (n == 0 || n > TGI_RESIDENT_MAX_DEVICES)
        return tgi_error(err, TG_E_INVALID, "resident program: on %" PRIu32 " devices, of which there are one to %u", n,
                         TGI_RESIDENT_MAX_DEVICES);
    if (n > 1 && s->n_workers_each > TGI_RESIDENT_PEERS_WARPS)
        return tgi_error(err, TG_E_UNSUPPORTED, "resident program: on several devices blocks have at most %u workers, not %" PRIu32,
                         TGI_RESIDENT_PEERS_WARPS, s->n_workers_each);
    if (n > 1 && s->width == TGI_RESIDENT_THREAD)
        return tgi_error(err, TG_E_UNSUPPORTED, "resident program: tasks one thread wide are of one device");
    for (uint32_t t = 0; n > 1 && t < dag->n_tasks; t++) {
        if (is_block(dag, t))
            return tgi_error(err, TG_E_UNSUPPORTED, "resident program: task %" PRIu32 " is a block wide, in a program on several devices", t);
        if (dag->op[t] == TGI_RESIDENT_POST)
            return tgi_error(err, TG_E_UNSUPPORTED,
                             "resident program: task %" PRIu32 " posts its result, which is seen on one device only", t);
        if (dag->op[t] == TGI_RESIDENT_CALL && !dag->device_of)
            return tgi_error(err, TG_E_UNSUPPORTED,
                             "resident program: task %" PRIu32 " calls a body, and nothing says whose memory that is for", t);
        if (dag->device_of && dag->device_of[t] >= n)
            return tgi_error(err, TG_E_INVALID, "resident program: task %" PRIu32 " is for device %u of %" PRIu32, t, dag->device_of[t], n);
    }
    return 0;
}

static int check_shape(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *s, uint32_t n_devices,
                       struct tg_error *err)
{
    uint32_t stages = tgi_resident_shared_bytes(s->n_workers_each, 0, 0);
    if (s->n_blocks == 0 || s->n_workers_each == 0 || s->n_workers_each > MAX_WORKERS_EACH || s->shared_bytes < stages)
        return tgi_error(err, TG_E_INVALID,
                         "resident program: %" PRIu32 " blocks of %" PRIu32 " workers with %" PRIu32 " bytes of shared memory",
                         s->n_blocks, s->n_workers_each, s->shared_bytes);
    if (dag->n_tasks > TGI_RESIDENT_MAX_INDEX || dag->succ_at[dag->n_tasks] > TGI_RESIDENT_MAX_INDEX)
        return tgi_error(err, TG_E_UNSUPPORTED, "resident program: more than %u tasks or edges", TGI_RESIDENT_MAX_INDEX);
    if (n_slots_of(dag, s) > TGI_RESIDENT_MAX_INDEX)
        return tgi_error(err, TG_E_UNSUPPORTED, "resident program: more than %u slots", TGI_RESIDENT_MAX_INDEX);
    for (uint32_t t = 0; t < dag->n_tasks; t++) {
        if (is_block(dag, t) && (dag->op[t] != TGI_RESIDENT_CALL || s->width != TGI_RESIDENT_WARP))
            return tgi_error(err, TG_E_UNSUPPORTED, "resident program: task %" PRIu32 " cannot be a block wide", t);
        if (dag->op[t] == TGI_RESIDENT_TREE)
            return tgi_error(err, TG_E_UNSUPPORTED,
                             "resident program: task %" PRIu32 " makes tasks, which a static program cannot have", t);
        if (s->width == TGI_RESIDENT_THREAD && dag->op[t] > TGI_RESIDENT_HASH)
            return tgi_error(err, TG_E_UNSUPPORTED, "resident program: task %" PRIu32 " cannot be one thread wide", t);
        for (uint32_t i = dag->succ_at[t]; i < dag->succ_at[t + 1]; i++)
            if ((dag->op[t] == TGI_RESIDENT_POST) != (dag->op[dag->succ[i]] == TGI_RESIDENT_POST))
                return tgi_error(err, TG_E_UNSUPPORTED,
                                 "resident program: an edge from task %" PRIu32 " to task %" PRIu32 " of which one posts its result and the other does not",
                                 t, dag->succ[i]);
        if (!dag->arg && dag->op[t] > TGI_RESIDENT_HASH && !TGI_RESIDENT_HAS_LINE(dag->op[t]))
            return tgi_error(err, TG_E_INVALID, "resident program: task %" PRIu32 " needs an argument", t);
    }
    return check_devices(dag, s, n_devices, err);
}

static int build(const struct tgi_resident_dag *dag, const struct tgi_resident_preds *preds,
                 const struct tgi_resident_shape *shape, uint32_t n_devices, const uint32_t *worker_of, const uint32_t *order,
                 struct tgi_resident_program **program_p, struct tg_error *err)
{
    struct build b = {.dag = dag, .preds = preds, .worker_of = worker_of, .block = UINT32_MAX};
    uint32_t room = shape->shared_bytes - tgi_resident_shared_bytes(shape->n_workers_each, 0, 0);
    b.max_shared_counters = room / COUNTER_SHARE / 4;
    b.max_shared_cells = (room - room / COUNTER_SHARE) / sizeof(struct tgi_cell);
    b.p = program_new(dag, shape, n_devices);
    size_t n_slots = (size_t)n_slots_of(dag, shape) + 1;
    b.task_at = malloc(n_slots * sizeof *b.task_at);
    b.is_member = malloc(n_slots);
    b.n_out = calloc(n_slots, sizeof *b.n_out);
    b.edges = malloc(((size_t)preds->at[dag->n_tasks] + 1) * sizeof *b.edges);
    b.pushed = n_devices > 1 ? calloc((size_t)dag->n_tasks + 1, sizeof *b.pushed) : NULL;
    bool has_room = b.pushed || n_devices == 1;
    bool is_made = b.p && b.task_at && b.is_member && b.n_out && b.edges && has_room && make_tables(&b, order);
    free(b.edges);
    free(b.task_at);
    free(b.is_member);
    free(b.n_out);
    free(b.pushed);
    if (!is_made) {
        tgi_resident_program_destroy(b.p);
        return tgi_error_memory(err, "planning a resident program");
    }
    if (b.p->n_far_cells > TGI_FAR_MAX_INDEX || b.p->n_far_counters > TGI_FAR_MAX_INDEX) {
        tgi_resident_program_destroy(b.p);
        return tgi_error(err, TG_E_UNSUPPORTED, "resident program: more than %u cells or counters between devices", TGI_FAR_MAX_INDEX);
    }
    *program_p = b.p;
    return 0;
}

/* ---- Entries ------------------------------------------------------------------------------*/

int tgi_resident_build_peers(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape, uint32_t n_devices,
                             const uint32_t *worker_of, struct tgi_resident_program **program_p, struct tg_error *err)
{
    struct tgi_resident_preds preds;
    struct tgi_resident_shape all = *shape;
    all.n_blocks *= n_devices;
    int rc = check_shape(dag, shape, n_devices, err);
    for (uint32_t t = 0; !rc && t < dag->n_tasks; t++)
        if (worker_of[t] >= all.n_blocks * all.n_workers_each)
            rc = tgi_error(err, TG_E_INVALID, "resident program: task %" PRIu32 " is on worker %" PRIu32 ", which there is not",
                           t, worker_of[t]);
    if (rc || (rc = tgi_resident_preds_init(&preds, dag, err)))
        return rc;
    uint32_t *order = malloc(((size_t)dag->n_tasks + 1) * sizeof *order);
    if (!order)
        rc = tgi_error_memory(err, "planning a resident program");
    for (uint32_t k = 0; !rc && k < dag->n_tasks; k++)
        order[k] = tgi_resident_nth(dag, k);
    if (!rc)
        rc = build(dag, &preds, &all, n_devices, worker_of, order, program_p, err);
    free(order);
    tgi_resident_preds_fini(&preds);
    return rc;
}

int tgi_resident_plan_peers(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape, uint32_t n_devices,
                            const struct tgi_resident_costs *costs, struct tgi_resident_program **program_p,
                            struct tg_error *err)
{
    struct tgi_resident_preds preds;
    struct tgi_resident_shape all = *shape;
    double makespan = 0;
    all.n_blocks *= n_devices;
    int rc = check_shape(dag, shape, n_devices, err);
    if (rc || (rc = tgi_resident_preds_init(&preds, dag, err)))
        return rc;
    size_t n = (size_t)dag->n_tasks + 1;
    uint32_t *worker_of = malloc(n * sizeof *worker_of), *order = malloc(n * sizeof *order);
    if (!worker_of || !order)
        rc = tgi_error_memory(err, "planning a resident program");
    else
        rc = tgi_resident_place(dag, &preds, &all, n_devices, costs, worker_of, order, &makespan, err);
    if (!rc && !(rc = build(dag, &preds, &all, n_devices, worker_of, order, program_p, err)))
        (*program_p)->makespan_ns = makespan;
    free(worker_of);
    free(order);
    tgi_resident_preds_fini(&preds);
    return rc;
}

int tgi_resident_build(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape,
                       const uint32_t *worker_of, struct tgi_resident_program **program_p, struct tg_error *err)
{
    return tgi_resident_build_peers(dag, shape, 1, worker_of, program_p, err);
}

int tgi_resident_plan(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape,
                      const struct tgi_resident_costs *costs, struct tgi_resident_program **program_p,
                      struct tg_error *err)
{
    return tgi_resident_plan_peers(dag, shape, 1, costs, program_p, err);
}
