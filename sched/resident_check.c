/* The proof that a program does what its graph says.  It starts from the graph and from the tables alone and shares no
 * code with the planner: whatever made the tables, what passes here is executed right.
 *
 * Who waits on a counter or a cell is found from the descriptors first.  Then every word of every task must name a waiter that is
 * a successor by the graph, each successor once, by word or by order; counting words per waiter gives the targets.  The
 * last step executes the program without its bodies, on all devices at once, since all of their workers are there at once: what
 * cannot be executed to the end would hang. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/resident_peers.h"
#include "mem/resident_way.h"
#include "sched/resident_plan.h"

struct check {
    const struct tgi_resident_dag *dag;
    const struct tgi_resident_program *p;
    struct tg_error *err;
    uint32_t *worker_of;  /* by slot */
    uint32_t *waiter[6];  /* by table and index: 1 + slot */
    uint32_t n_of[6];     /* of shared ones: of a block, times blocks */
    uint8_t *is_told[6];  /* cells: by index */
    uint32_t *n_triggers; /* by slot */
    uint32_t *n_data;     /* by slot: predecessors whose results it gets */
    uint32_t *mark;       /* by task: 1 + the task that has told it */
    uint8_t *is_clean;    /* by task */
    uint8_t *lone;        /* by slot: producers that store instead of adding, or say so */
    uint32_t *member;     /* by task a block wide, n_workers_each of them: its slot in each worker of its block; NULL: there is no such task */
    uint32_t *member_at;  /* by task: where these are; UINT32_MAX: it is not a block wide */
    uint16_t *pushed;     /* by slot: devices to which it brings what it leaves, a bit each */
    bool has_memory;      /* a task leaves what others than its successors may read */
};

static int refuse(const struct check *c, uint32_t task, const char *what)
{
    return tgi_error(c->err, TG_E_INVALID, "resident program: task %" PRIu32 " %s", task, what);
}

/* ---- Slots --------------------------------------------------------------------------------*/

static uint32_t block_of(const struct check *c, uint32_t slot) { return c->worker_of[slot] / c->p->n_workers_each; }

static uint32_t device_of(const struct check *c, uint32_t slot)
{
    return block_of(c, slot) / (c->p->n_blocks / c->p->n_devices);
}

static bool is_block(const struct check *c, uint32_t t) { return c->dag->is_block && c->dag->is_block[t]; }

static bool is_led(const struct check *c, uint32_t t, uint32_t slot)
{
    return !is_block(c, t) || c->worker_of[slot] % c->p->n_workers_each == 0;
}

/* A slot that does not lead: it says that its worker takes part, and nothing else. */
static int check_member(const struct check *c, uint32_t slot)
{
    const struct tgi_resident_task *d = &c->p->tasks[slot];
    if (d->head != (c->dag->op[d->id] | TGI_HEAD_BLOCK | TGI_HEAD_MEMBER | (uint32_t)TGI_WAY_BLOCK << TGI_HEAD_WAY_AT) || d->wait || d->n_wait ||
        d->out[0] || d->out[1])
        return refuse(c, d->id, "is a block wide, and more than its first worker waits or tells");
    if (c->worker_of[slot] / c->p->n_workers_each != c->worker_of[c->p->slot_of[d->id]] / c->p->n_workers_each)
        return refuse(c, d->id, "is a block wide, and workers of another block take part");
    return 0;
}

/* Every task a block wide is in each worker of its block, once. */
static int check_members(struct check *c)
{
    uint32_t each = c->p->n_workers_each, n = 0;
    for (uint32_t t = 0; t < c->dag->n_tasks; t++) {
        c->member_at[t] = is_block(c, t) ? n * each : UINT32_MAX;
        n += is_block(c, t);
    }
    c->member = malloc(((size_t)n * each + 1) * sizeof *c->member);
    if (!c->member)
        return tgi_error_memory(c->err, "checking a resident program");
    memset(c->member, 0xff, (size_t)n * each * sizeof *c->member);
    for (uint32_t s = 0; s < c->p->n_slots; s++) {
        uint32_t t = c->p->tasks[s].id;
        if (!is_block(c, t))
            continue;
        uint32_t *mine = &c->member[c->member_at[t] + c->worker_of[s] % each];
        int rc = is_led(c, t, s) ? 0 : check_member(c, s);
        if (rc)
            return rc;
        if (*mine != UINT32_MAX)
            return refuse(c, t, "is a block wide, and twice in one worker");
        *mine = s;
    }
    for (uint32_t t = 0; t < c->dag->n_tasks; t++)
        for (uint32_t k = 0; is_block(c, t) && k < each; k++)
            if (c->member[c->member_at[t] + k] == UINT32_MAX)
                return refuse(c, t, "is a block wide, and a worker of its block does not take part");
    return 0;
}

static int check_slots(struct check *c)
{
    const struct tgi_resident_program *p = c->p;
    uint64_t n_slots = p->n_tasks;
    uint32_t n_block_tasks = 0;
    for (uint32_t t = 0; t < c->dag->n_tasks; t++)
        n_block_tasks += is_block(c, t);
    n_slots += (uint64_t)n_block_tasks * (p->n_workers_each - 1);
    if (p->n_tasks != c->dag->n_tasks || p->n_slots != n_slots || p->n_block_tasks != n_block_tasks || p->first[0] != 0 ||
        p->first[p->n_workers] != p->n_slots || (n_block_tasks && (p->width != TGI_RESIDENT_WARP || p->n_devices != 1)) ||
        p->n_workers != p->n_blocks * p->n_workers_each || p->n_devices == 0 ||
        p->n_devices > TGI_RESIDENT_MAX_DEVICES || p->n_blocks % p->n_devices ||
        (p->n_devices > 1 && p->width != TGI_RESIDENT_WARP))
        return tgi_error(c->err, TG_E_INVALID, "resident program: its slots are not the graph's %" PRIu32 " tasks",
                         c->dag->n_tasks);
    for (uint32_t w = 0; w < p->n_workers; w++) {
        if (p->first[w] > p->first[w + 1] || p->first[w + 1] > p->n_slots)
            return tgi_error(c->err, TG_E_INVALID, "resident program: worker %" PRIu32 " ends before it begins", w);
        for (uint32_t s = p->first[w]; s < p->first[w + 1]; s++)
            c->worker_of[s] = w;
    }
    for (uint32_t s = 0; s < p->n_slots; s++) {
        uint32_t t = p->tasks[s].id;
        /* n tasks lead n slots, each where slot_of says: none twice. */
        if (t >= p->n_tasks || p->slot_of[t] >= p->n_slots || (is_led(c, t, s) && p->slot_of[t] != s))
            return refuse(c, t, "is not in the slot that it should be in");
        if (!(p->tasks[s].head & TGI_HEAD_BLOCK) != !is_block(c, t) || !(p->tasks[s].head & TGI_HEAD_MEMBER) != is_led(c, t, s))
            return refuse(c, t, "is executed by more or fewer workers than it should be");
        if (TGI_HEAD_OP(p->tasks[s].head) != c->dag->op[t] || !p->args != !c->dag->arg ||
            (p->args && p->args[s] != c->dag->arg[t]))
            return refuse(c, t, "does something else");
        if (p->n_devices > 1 && c->dag->device_of && device_of(c, s) != c->dag->device_of[t])
            return refuse(c, t, "is on a device whose memory it is not for");
        if (TGI_RESIDENT_HAS_WORDS(c->dag->op[t]) &&
            ((uint64_t)p->tasks[s].in[1] << 32 | p->tasks[s].in[0]) != c->dag->arg[t])
            return refuse(c, t, "calls something else");
    }
    return check_members(c);
}

/* ---- Who waits where ------------------------------------------------------------------------*/

enum { COUNTERS, SHARED_COUNTERS, FAR_COUNTERS, CELLS, SHARED_CELLS, FAR_CELLS, N_TABLES };

static uint32_t index_in(const struct check *c, uint32_t table, uint32_t slot, uint32_t index)
{
    return table == SHARED_COUNTERS ? block_of(c, slot) * c->p->n_shared_counters + index
           : table == SHARED_CELLS  ? block_of(c, slot) * c->p->n_shared_cells + index
                                    : index;
}

static int note_waiter(struct check *c, uint32_t slot)
{
    static const uint32_t table_of[] = {0, COUNTERS, SHARED_COUNTERS, CELLS, SHARED_CELLS};
    const struct tgi_resident_task *d = &c->p->tasks[slot];
    uint32_t kind = TGI_HEAD_WAIT(d->head), table, n;
    if (d->head & TGI_HEAD_MEMBER) /* check_member() has looked */
        return 0;
    if (kind == TGI_WAIT_NONE)
        return d->n_wait == 0 && !(d->head & TGI_HEAD_WAITS_FAR) ? 0 : refuse(c, d->id, "waits for nothing, a number of times");
    if (kind > TGI_WAIT_SHARED_CELLS || d->n_wait == 0)
        return refuse(c, d->id, "waits in a way that there is not");
    table = table_of[kind];
    if (d->head & TGI_HEAD_WAITS_FAR) {
        if (table != COUNTERS && table != CELLS)
            return refuse(c, d->id, "waits in a way that there is not");
        table = table == CELLS ? FAR_CELLS : FAR_COUNTERS;
    }
    bool has_lines = table == FAR_CELLS && TGI_RESIDENT_HAS_LINE(TGI_HEAD_OP(d->head));
    if (table >= CELLS && !has_lines && !tgi_resident_is_small(TGI_HEAD_OP(d->head)))
        return refuse(c, d->id, "takes results from memory but waits for cells");
    if (table >= CELLS && d->n_wait > (has_lines ? TGI_FAR_MAX_LINES : TGI_RESIDENT_MAX_CELLS))
        return refuse(c, d->id, "waits for more cells than it can look at");
    n = table < CELLS ? 1 : has_lines ? d->n_wait * TGI_RESIDENT_LINE_WORDS : d->n_wait;
    uint32_t each = table == SHARED_COUNTERS ? c->p->n_shared_counters
                    : table == SHARED_CELLS  ? c->p->n_shared_cells
                                             : c->n_of[table];
    if (d->wait > each || n > each - d->wait)
        return refuse(c, d->id, "waits beyond the end of a table");
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = index_in(c, table, slot, d->wait + k);
        if (c->waiter[table][i])
            return refuse(c, d->id, "waits where another task does");
        c->waiter[table][i] = 1 + slot;
    }
    return 0;
}

/* ---- Elements -----------------------------------------------------------------------------*/

/* Its words name POSTs; of those that mark[] has as its predecessors, all.  n_preds: by task. */
static int check_post(struct check *c, uint32_t slot, const uint32_t *n_preds)
{
    const struct tgi_resident_task *d = &c->p->tasks[slot];
    const uint64_t *words = c->dag->words + d->in[1];
    uint32_t n_named = 0;
    if (TGI_HEAD_WAIT(d->head) != TGI_WAIT_NONE || TGI_HEAD_N_OUT(d->head) || TGI_CALL_N_WORDS(d->in[0]) != TGI_POST_N_WORDS)
        return refuse(c, d->id, "posts its result and waits for, or tells, others in another way");
    for (uint32_t k = TGI_POST_FIRST_IN; k < TGI_POST_N_WORDS; k++) {
        uint64_t from = words[k];
        if (from > c->p->n_tasks || (from && c->dag->op[from - 1] != TGI_RESIDENT_POST))
            return refuse(c, d->id, "takes an element of a task that posts none");
        if (!from || c->mark[from - 1] == 1 + slot)
            continue;
        bool is_pred = false;
        for (uint32_t i = c->dag->succ_at[from - 1]; i < c->dag->succ_at[from] && !is_pred; i++)
            is_pred = c->dag->succ[i] == d->id;
        if (!is_pred)
            return refuse(c, d->id, "takes an element of a task that is no predecessor");
        c->mark[from - 1] = 1 + slot;
        n_named++;
    }
    return n_named == n_preds[d->id] ? 0 : refuse(c, d->id, "does not take the elements of all its predecessors");
}

/* ---- Words --------------------------------------------------------------------------------*/

static bool is_ordered(const struct check *c, uint32_t from, uint32_t to)
{
    uint32_t first = c->p->first[c->worker_of[to]], each = c->p->n_workers_each;
    uint32_t wide_from = c->member_at[c->p->tasks[from].id], wide_to = c->member_at[c->p->tasks[to].id];
    /* What is a block wide comes before or after another task of its block in that one's worker, of two of them in any. */
    if (block_of(c, from) == block_of(c, to) && (wide_from != UINT32_MAX || wide_to != UINT32_MAX)) {
        uint32_t of_from = c->worker_of[from] % each, of_to = c->worker_of[to] % each;
        return wide_from == UINT32_MAX ? from < c->member[wide_to + of_from] : c->member[wide_from + of_to] < to;
    }
    if (c->worker_of[from] != c->worker_of[to])
        return false;
    if (c->p->width == TGI_RESIDENT_WARP)
        return from < to;
    return (from - first) / TGI_RESIDENT_BATCH < (to - first) / TGI_RESIDENT_BATCH;
}

/* What a far word says beside its index. */
static int follow_far(struct check *c, uint32_t slot, uint32_t word, uint32_t to)
{
    uint32_t id = c->p->tasks[slot].id, device = TGI_FAR_DEVICE(word);
    if (device != device_of(c, to))
        return refuse(c, id, "tells a device where the task that waits is not");
    if (TGI_OUT_KIND(word) == TGI_OUT_FAR_CELL) {
        bool has_line = TGI_RESIDENT_HAS_LINE(TGI_HEAD_OP(c->p->tasks[to].head));
        if (word & TGI_FAR_LONE)
            return refuse(c, id, "has a far cell that is a counter");
        if (!(word & TGI_FAR_LINE) != !has_line ||
            (has_line && (TGI_FAR_INDEX(word) - c->p->tasks[to].wait) % TGI_RESIDENT_LINE_WORDS))
            return refuse(c, id, "tells a word where a line is waited for, or a line where a word is");
        return 0;
    }
    if (word & TGI_FAR_LONE)
        c->lone[to] = 1;
    if (word & TGI_FAR_PUSH)
        c->pushed[slot] |= (uint16_t)(1u << device);
    return 0;
}

/* The slot that a word tells, by *to_p. */
static int follow(struct check *c, uint32_t slot, uint32_t word, uint32_t *to_p)
{
    static const uint32_t table_of[] = {COUNTERS, COUNTERS, SHARED_COUNTERS, CELLS, SHARED_CELLS, N_TABLES, FAR_CELLS, FAR_COUNTERS};
    uint32_t id = c->p->tasks[slot].id, kind = TGI_OUT_KIND(word), table = table_of[kind], i;
    if (table == N_TABLES)
        return refuse(c, id, "tells in a way that there is not");
    uint32_t index = TGI_OUT_IS_FAR(word) ? TGI_FAR_INDEX(word) : TGI_OUT_INDEX(word);
    uint32_t each = table == SHARED_COUNTERS ? c->p->n_shared_counters
                    : table == SHARED_CELLS  ? c->p->n_shared_cells
                                             : c->n_of[table];
    if (index >= each)
        return refuse(c, id, "tells beyond the end of a table");
    i = index_in(c, table, slot, index);
    if (!c->waiter[table][i])
        return refuse(c, id, "tells nobody");
    *to_p = c->waiter[table][i] - 1;
    if (TGI_OUT_IS_FAR(word)) {
        int rc = follow_far(c, slot, word, *to_p);
        if (rc)
            return rc;
    } else if (device_of(c, slot) != device_of(c, *to_p))
        return refuse(c, id, "tells a task of another device as if it were of its own");
    if (table >= CELLS) {
        if (!c->is_clean[id] && (table != FAR_CELLS || c->has_memory))
            return refuse(c, id, "leaves something in memory, or an ancestor does, but its edge is a cell");
        if (c->is_told[table][i]++)
            return refuse(c, id, "writes a cell that another task writes");
    }
    if (kind == TGI_OUT_LONE_COUNTER)
        c->lone[*to_p] = 1;
    return 0;
}

static int check_outs(struct check *c, uint32_t slot)
{
    const struct tgi_resident_task *d = &c->p->tasks[slot];
    bool is_list = TGI_HEAD_N_OUT(d->head) == TGI_HEAD_LIST;
    uint32_t n = is_list ? d->out[1] : TGI_HEAD_N_OUT(d->head), n_ordered = 0, t = d->id, n_far = 0;
    if (d->head & TGI_HEAD_MEMBER)
        return 0;
    if (is_list && (d->out[0] > c->p->n_outs || n > c->p->n_outs - d->out[0]))
        return refuse(c, t, "has successors beyond the end of a table");
    uint32_t begin = c->dag->succ_at[t], end = c->dag->succ_at[t + 1];
    for (uint32_t i = begin; i < end; i++) {
        uint32_t to = c->p->slot_of[c->dag->succ[i]];
        /* check_post() sees to those of POSTs */
        bool is_by_order = c->dag->op[t] == TGI_RESIDENT_POST || is_ordered(c, slot, to);
        n_ordered += is_by_order;
        c->mark[c->dag->succ[i]] = is_by_order ? 0 : 1 + t; /* to be told */
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t to = 0, word = is_list ? c->p->outs[d->out[0] + k] : d->out[k];
        int rc = follow(c, slot, word, &to);
        if (rc)
            return rc;
        n_far += TGI_OUT_IS_FAR(word);
        uint32_t *mark = &c->mark[c->p->tasks[to].id];
        if (*mark != 1 + t)
            return refuse(c, t, "tells a task that is no successor, or twice, or by order as well");
        *mark = 0;
        c->n_triggers[to]++;
    }
    if (!(d->head & TGI_HEAD_TELLS_FAR) != !n_far)
        return refuse(c, t, n_far ? "has a far word but goes a way that has none" : "has no far word but says so");
    return n + n_ordered == end - begin ? 0 : refuse(c, t, "does not tell all its successors");
}

/* ---- Targets and results --------------------------------------------------------------------*/

/* Fetched results are of predecessors; counting tells whether all are there, as mark[] tells that none is twice. */
static int check_ins(struct check *c, uint32_t slot, uint32_t *n_in_p)
{
    const struct tgi_resident_task *d = &c->p->tasks[slot];
    bool is_list = TGI_HEAD_N_IN(d->head) == TGI_HEAD_LIST, is_cells = TGI_HEAD_WAIT(d->head) >= TGI_WAIT_CELLS;
    uint32_t n = is_list ? d->in[1] : TGI_HEAD_N_IN(d->head);
    if (is_list && (d->in[0] > c->p->n_ins || n > c->p->n_ins - d->in[0]))
        return refuse(c, d->id, "has predecessors beyond the end of a table");
    for (uint32_t k = 0; k < n; k++) {
        uint32_t word = is_list ? c->p->ins[d->in[0] + k] : d->in[k], from = TGI_IN_SLOT(word);
        if (from >= c->p->n_slots)
            return refuse(c, d->id, "reads a result beyond the end of a table");
        uint32_t id = c->p->tasks[from].id;
        bool is_pred = false;
        for (uint32_t i = c->dag->succ_at[id]; i < c->dag->succ_at[id + 1] && !is_pred; i++)
            is_pred = c->dag->succ[i] == d->id;
        if (!is_pred || c->mark[id] == 1 + slot)
            return refuse(c, d->id, "reads the result of a task that is no predecessor, or twice");
        if (is_cells && !is_ordered(c, from, slot))
            return refuse(c, d->id, "reads a result from memory that nothing has made visible");
        if (device_of(c, from) != device_of(c, slot) && !(c->pushed[from] >> device_of(c, slot) & 1))
            return refuse(c, d->id, "reads a result of another device that nobody brings to its own");
        bool has_line = TGI_RESIDENT_HAS_LINE(c->dag->op[id]) && TGI_RESIDENT_HAS_LINE(c->dag->op[d->id]);
        if (has_line != !!(word & TGI_IN_LINE))
            return refuse(c, d->id, "takes a word for a line, or a line for a word");
        c->mark[id] = 1 + slot;
    }
    *n_in_p = n;
    return 0;
}

static int check_wait(struct check *c, uint32_t slot)
{
    const struct tgi_resident_task *d = &c->p->tasks[slot];
    bool is_cells = TGI_HEAD_WAIT(d->head) >= TGI_WAIT_CELLS;
    uint32_t n_in = 0, previous = 0;
    if (d->head & TGI_HEAD_MEMBER)
        return 0;
    int rc = check_ins(c, slot, &n_in);
    if (rc)
        return rc;
    if (c->n_triggers[slot] != d->n_wait)
        return refuse(c, d->id, "waits for more or fewer than will tell it");
    if (c->lone[slot] && d->n_wait != 1)
        return refuse(c, d->id, "has a producer that stores although there are others");
    if (d->head & TGI_HEAD_PREVIOUS) {
        uint32_t id = slot ? c->p->tasks[slot - 1].id : 0;
        for (uint32_t i = c->dag->succ_at[id]; slot && i < c->dag->succ_at[id + 1] && !previous; i++)
            previous = c->dag->succ[i] == d->id && c->mark[id] != 1 + slot;
        if (!previous || c->p->tasks[slot - 1].head & TGI_HEAD_BLOCK || c->p->width != TGI_RESIDENT_WARP || c->worker_of[slot - 1] != c->worker_of[slot])
            return refuse(c, d->id, "takes the result at hand, which is not of a predecessor");
    }
    c->n_data[slot] = n_in + previous + (is_cells ? d->n_wait : 0);
    return 0;
}

static int check_data(struct check *c, const uint32_t *n_preds)
{
    for (uint32_t s = 0; s < c->p->n_slots; s++) {
        uint32_t t = c->p->tasks[s].id;
        if (TGI_RESIDENT_HAS_INPUTS(c->dag->op[t]) && c->n_data[s] != n_preds[t])
            return refuse(c, t, "does not get the results of all its predecessors, each once");
    }
    return 0;
}

/* ---- An order -----------------------------------------------------------------------------*/

/* Executes: a worker takes its next task, or any of its batch, once nothing is missing, and a block one that is its width once it is the
 * next in all of its workers.  So that all have the same order of these is proved as well. */
struct dry_run {
    uint32_t *missing;  /* by task: predecessors that are not done */
    uint32_t *next;     /* by worker: the first slot of those it may take */
    uint32_t *left;     /* by worker: how many of the batch are not done */
    uint32_t *ready;    /* tasks without missing predecessors that their worker may take */
    uint32_t n_ready;
};

static uint32_t window_end(const struct check *c, const struct dry_run *r, uint32_t w)
{
    uint32_t size = c->p->width == TGI_RESIDENT_WARP ? 1 : TGI_RESIDENT_BATCH, end = c->p->first[w + 1];
    return end - r->next[w] < size ? end : r->next[w] + size;
}

/* Whether it is within what its worker may take, or of one a block wide each of its workers. */
static bool is_next(const struct check *c, const struct dry_run *r, uint32_t t)
{
    uint32_t s = c->p->slot_of[t], w = c->worker_of[s];
    if (c->member_at[t] == UINT32_MAX)
        return s >= r->next[w] && s < window_end(c, r, w);
    for (uint32_t k = 0; k < c->p->n_workers_each; k++)
        if (r->next[w + k] != c->member[c->member_at[t] + k])
            return false;
    return true;
}

static void open_window(const struct check *c, struct dry_run *r, uint32_t w)
{
    uint32_t end = window_end(c, r, w);
    r->left[w] = end - r->next[w];
    for (uint32_t s = r->next[w]; s < end; s++) {
        uint32_t t = c->p->tasks[s].id;
        if (r->missing[t] == 0 && is_next(c, r, t))
            r->ready[r->n_ready++] = c->p->slot_of[t];
    }
}

static void finish(const struct check *c, struct dry_run *r, uint32_t slot)
{
    uint32_t t = c->p->tasks[slot].id, w = c->worker_of[slot];
    for (uint32_t i = c->dag->succ_at[t]; i < c->dag->succ_at[t + 1]; i++) {
        uint32_t to = c->dag->succ[i];
        if (--r->missing[to] == 0 && is_next(c, r, to))
            r->ready[r->n_ready++] = c->p->slot_of[to];
    }
    uint32_t end = w + (c->member_at[t] == UINT32_MAX ? 1 : c->p->n_workers_each);
    for (; w < end; w++)
        if (--r->left[w] == 0) {
            r->next[w] = window_end(c, r, w);
            open_window(c, r, w);
        }
}

static int check_order(struct check *c, uint32_t *n_preds)
{
    uint32_t n = c->p->n_tasks, n_done = 0;
    struct dry_run r = {n_preds, malloc(((size_t)c->p->n_workers + 1) * 4), malloc(((size_t)c->p->n_workers + 1) * 4),
                        malloc(((size_t)n + 1) * 4), 0};
    int rc = 0;
    if (!r.next || !r.left || !r.ready)
        rc = tgi_error_memory(c->err, "checking a resident program");
    for (uint32_t w = 0; !rc && w < c->p->n_workers; w++)
        r.next[w] = UINT32_MAX; /* not yet open, for what is a block wide */
    for (uint32_t w = 0; !rc && w < c->p->n_workers; w++) {
        r.next[w] = c->p->first[w];
        open_window(c, &r, w);
    }
    for (; !rc && r.n_ready > 0; n_done++)
        finish(c, &r, r.ready[--r.n_ready]);
    for (uint32_t s = 0; !rc && n_done < n && s < c->p->n_slots; s++)
        if (s == r.next[c->worker_of[s]])
            rc = refuse(c, c->p->tasks[s].id, "would never run: the workers' orders wait for each other");
    free(r.next);
    free(r.left);
    free(r.ready);
    return rc;
}

/* ---- Entry --------------------------------------------------------------------------------*/

static void mark_clean(struct check *c)
{
    for (uint32_t k = 0; k < c->dag->n_tasks; k++) {
        uint32_t t = c->dag->topo ? c->dag->topo[k] : k;
        c->is_clean[t] = c->is_clean[t] && tgi_resident_is_small(c->dag->op[t]);
        c->has_memory |= TGI_RESIDENT_LEAVES_MEMORY(c->dag->op[t]);
        for (uint32_t i = c->dag->succ_at[t]; i < c->dag->succ_at[t + 1]; i++)
            c->is_clean[c->dag->succ[i]] &= c->is_clean[t];
    }
}

static bool check_init(struct check *c)
{
    const struct tgi_resident_program *p = c->p;
    size_t n_tasks = (size_t)c->dag->n_tasks + 1, n_slots = (size_t)p->n_slots + 1, n = n_slots > n_tasks ? n_slots : n_tasks;
    c->n_of[FAR_COUNTERS] = p->n_far_counters;
    c->n_of[FAR_CELLS] = p->n_far_cells;
    c->n_of[COUNTERS] = p->n_counters;
    c->n_of[SHARED_COUNTERS] = p->n_shared_counters * p->n_blocks;
    c->n_of[CELLS] = p->n_cells;
    c->n_of[SHARED_CELLS] = p->n_shared_cells * p->n_blocks;
    bool is_good = true;
    for (uint32_t i = 0; i < N_TABLES; i++) {
        c->waiter[i] = calloc((size_t)c->n_of[i] + 1, sizeof **c->waiter);
        c->is_told[i] = calloc((size_t)c->n_of[i] + 1, 1);
        is_good = is_good && c->waiter[i] && c->is_told[i];
    }
    c->worker_of = malloc(n * 4);
    c->n_triggers = calloc(n, 4);
    c->n_data = calloc(n, 4);
    c->mark = calloc(n, 4);
    c->lone = calloc(n, 1);
    c->pushed = calloc(n, sizeof *c->pushed);
    c->is_clean = malloc(n);
    c->member_at = malloc(n * sizeof *c->member_at);
    if (c->is_clean)
        memset(c->is_clean, 1, n);
    return is_good && c->worker_of && c->n_triggers && c->n_data && c->mark && c->lone && c->pushed &&
           c->is_clean && c->member_at;
}

static void check_fini(struct check *c)
{
    for (uint32_t i = 0; i < N_TABLES; i++) {
        free(c->waiter[i]);
        free(c->is_told[i]);
    }
    free(c->worker_of);
    free(c->n_triggers);
    free(c->n_data);
    free(c->mark);
    free(c->lone);
    free(c->pushed);
    free(c->is_clean);
    free(c->member_at);
    free(c->member);
}

static int check_all(struct check *c, uint32_t *n_preds)
{
    int rc = check_slots(c);
    mark_clean(c);
    for (uint32_t s = 0; !rc && s < c->p->n_slots; s++)
        rc = note_waiter(c, s);
    for (uint32_t s = 0; !rc && s < c->p->n_slots; s++)
        rc = check_outs(c, s);
    if (rc)
        return rc;
    memset(c->mark, 0, (size_t)c->p->n_tasks * 4);
    for (uint32_t s = 0; !rc && s < c->p->n_slots; s++)
        rc = check_wait(c, s);
    for (uint32_t i = 0; i < c->dag->succ_at[c->dag->n_tasks]; i++)
        n_preds[c->dag->succ[i]]++;
    memset(c->mark, 0, (size_t)c->p->n_tasks * 4);
    for (uint32_t s = 0; !rc && s < c->p->n_slots; s++)
        if (c->dag->op[c->p->tasks[s].id] == TGI_RESIDENT_POST)
            rc = check_post(c, s, n_preds);
    for (uint32_t s = 0; !rc && s < c->p->n_slots; s++)
        if (TGI_HEAD_WAY(c->p->tasks[s].head) != tgi_resident_way(&c->p->tasks[s], c->p->outs))
            rc = refuse(c, c->p->tasks[s].id, "goes a way that is not its own");
    if (!rc)
        rc = check_data(c, n_preds);
    return rc ? rc : check_order(c, n_preds);
}

int tgi_resident_check(const struct tgi_resident_dag *dag, const struct tgi_resident_program *program,
                       struct tg_error *err)
{
    struct check c = {.dag = dag, .p = program, .err = err};
    uint32_t *n_preds = calloc((size_t)dag->n_tasks + 1, 4);
    int rc = check_init(&c) && n_preds ? check_all(&c, n_preds) : tgi_error_memory(err, "checking a resident program");
    check_fini(&c);
    free(n_preds);
    return rc;
}
