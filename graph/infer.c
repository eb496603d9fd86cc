/* Edges from program order.
 *
 * Each tile is a sequence of epochs.  An epoch is one writer, or a set of neighbours that do not
 * order each other: readers, tasks that commute, tasks that reduce with the same op.  A task that
 * joins the current epoch depends on the epoch before; one that opens a new epoch depends on
 * everybody in the current one.  Since each member of an epoch already waits for the epoch before,
 * two epochs are all that has to be remembered, and edges across more than one epoch (a write on
 * the write before the reads) are never made.
 *
 * A tile that is addressed by row ranges is cut into segments, each with epochs of its own.
 *
 * Most graphs that are built from control edges alone need none of that: a task without tiles takes its
 * list over as it is, or shares the one of the task before.
 *
 * A barrier waits for every task that has no successor yet since the last barrier; a task after it
 * drops predecessors that the barrier implies. */
#include <stdlib.h>
#include <string.h>

#include "graph/block.h"
#include "graph/error.h"
#include "graph/freeze.h"

/* A set of tasks: nothing, one task, or a list of cells. */
#define SET_EMPTY UINT32_MAX
#define SET_LIST 0x80000000u

enum epoch_kind { EPOCH_NONE, EPOCH_WRITE, EPOCH_READ, EPOCH_COMMUTE, EPOCH_REDUCE };

struct cell {
    uint32_t task, next; /* next cell, SET_EMPTY: last */
};

struct epochs {
    uint32_t before, now; /* sets: the epoch before, the current one */
    union {
        uint32_t group;   /* of a commute or reduce epoch; TG_NONE: its first member has no group yet */
        uint32_t second;  /* of a read epoch whose set is one task: a second one, SET_EMPTY: none.  Most tiles
                             have two readers at most, and need no cells for them. */
    };
    uint8_t kind, op;     /* of the current one */
};

struct segment {
    struct epochs epochs;
    uint32_t begin, end, next; /* rows, next segment of the tile or TG_NONE */
};

struct infer {
    struct tg_graph *g;
    struct tgi_preds *out;
    struct epochs *tiles;
    uint32_t *cut;      /* by tile: first segment, TG_NONE: whole; NULL: no tile is cut */
    struct segment *segments;
    uint32_t n_segments, cap_segments;
    struct cell *cells;
    uint32_t n_cells, cap_cells, free_cells;
    uint32_t *seen;     /* by task: last task that has it as predecessor, + 1 */
    uint8_t *is_waited; /* has a successor; only kept when there are barriers */
    uint32_t barrier;   /* last one, or TG_NONE */
    uint32_t cap_shares, cap_groups;
    const struct tgi_control *late; /* by target: the graph's own, or `sorted` */
    struct tgi_control *sorted;
    uint32_t at_late;
    uint32_t last_plain; /* the task that plain_infer() last made a list for; TG_NONE: none */
};

/* ---- Sets ---------------------------------------------------------------------------------*/

static uint32_t cell_new(struct infer *in, uint32_t task, uint32_t next)
{
    uint32_t c = in->free_cells;
    if (c != SET_EMPTY) {
        in->free_cells = in->cells[c].next;
    } else {
        if (!tgi_vec_reserve(&in->cells, &in->cap_cells, (uint64_t)in->n_cells + 1, sizeof *in->cells) ||
            in->n_cells >= SET_LIST - 1)
            return SET_EMPTY;
        c = in->n_cells++;
    }
    in->cells[c] = (struct cell){task, next};
    return c;
}

static bool set_add(struct infer *in, uint32_t *set, uint32_t task)
{
    if (*set == SET_EMPTY) {
        *set = task;
        return true;
    }
    if (!(*set & SET_LIST)) {
        if (*set == task)
            return true;
        uint32_t first = cell_new(in, *set, SET_EMPTY);
        if (first == SET_EMPTY)
            return false;
        *set = first | SET_LIST;
    } else if (in->cells[*set & ~SET_LIST].task == task) {
        return true;
    }
    uint32_t c = cell_new(in, task, *set & ~SET_LIST);
    if (c == SET_EMPTY)
        return false;
    *set = c | SET_LIST;
    return true;
}

static void set_drop(struct infer *in, uint32_t *set)
{
    if (*set != SET_EMPTY && (*set & SET_LIST)) {
        uint32_t first = *set & ~SET_LIST, last = first;
        while (in->cells[last].next != SET_EMPTY)
            last = in->cells[last].next;
        in->cells[last].next = in->free_cells;
        in->free_cells = first;
    }
    *set = SET_EMPTY;
}

static bool set_copy(struct infer *in, uint32_t from, uint32_t *to)
{
    *to = SET_EMPTY;
    if (from == SET_EMPTY || !(from & SET_LIST)) {
        *to = from;
        return true;
    }
    for (uint32_t c = from & ~SET_LIST; c != SET_EMPTY; c = in->cells[c].next) {
        uint32_t copy = cell_new(in, in->cells[c].task, *to == SET_EMPTY ? SET_EMPTY : *to & ~SET_LIST);
        if (copy == SET_EMPTY)
            return false;
        *to = copy | SET_LIST;
    }
    return true;
}

/* The current epoch's set becomes one that stands alone. */
static bool second_spill(struct infer *in, struct epochs *e)
{
    uint32_t second = e->second;
    e->second = SET_EMPTY;
    return second == SET_EMPTY || set_add(in, &e->now, second);
}

static bool reader_add(struct infer *in, struct epochs *e, uint32_t task)
{
    if (e->now == SET_EMPTY || (e->now & SET_LIST))
        return set_add(in, &e->now, task);
    if (e->second == SET_EMPTY) {
        e->second = e->now == task ? SET_EMPTY : task;
        return true;
    }
    return e->second == task || (second_spill(in, e) && set_add(in, &e->now, task));
}

/* ---- Predecessors -------------------------------------------------------------------------*/

static inline bool depend(struct infer *in, uint32_t task, uint32_t on)
{
    if (on == task || in->seen[on] == task + 1)
        return true;
    if (in->barrier != TG_NONE && on < in->barrier)
        return true; /* the barrier implies it */
    in->seen[on] = task + 1;
    if (in->is_waited)
        in->is_waited[on] = 1;
    struct tgi_preds *out = in->out;
    if (out->n == out->cap && !tgi_block_reserve(&out->preds, &out->cap, (uint64_t)out->n + 1, sizeof *out->preds))
        return false;
    out->preds[out->n++] = on;
    return true;
}

static bool depend_on_set(struct infer *in, uint32_t task, uint32_t set)
{
    if (set == SET_EMPTY)
        return true;
    if (!(set & SET_LIST))
        return depend(in, task, set);
    for (uint32_t c = set & ~SET_LIST; c != SET_EMPTY; c = in->cells[c].next)
        if (!depend(in, task, in->cells[c].task))
            return false;
    return true;
}

/* ---- Groups -------------------------------------------------------------------------------*/

static bool share_add(struct infer *in, uint32_t task, uint32_t group, uint32_t arg)
{
    struct tg_graph *g = in->g;
    for (uint32_t i = g->n_shares; i > 0 && g->shares[i - 1].task == task; i--)
        if (g->shares[i - 1].group == group)
            return true;
    if (!tgi_vec_reserve(&g->shares, &in->cap_shares, (uint64_t)g->n_shares + 1, sizeof *g->shares))
        return false;
    g->shares[g->n_shares++] = (struct tgi_share){task, group, arg, g->groups[group].n_members++};
    return true;
}

static bool group_join(struct infer *in, struct epochs *e, uint32_t task, uint32_t arg, bool is_reduce, enum tg_op op)
{
    struct tg_graph *g = in->g;
    if (e->group == TG_NONE) {
        if (!tgi_vec_reserve(&g->groups, &in->cap_groups, (uint64_t)g->n_groups + 1, sizeof *g->groups))
            return false;
        e->group = g->n_groups;
        g->groups[g->n_groups++] = (struct tgi_group){0, is_reduce, op};
    }
    return share_add(in, task, e->group, arg);
}

/* ---- Accesses -----------------------------------------------------------------------------*/

static bool epochs_access(struct infer *in, struct epochs *e, uint32_t task, uint32_t arg, enum tg_access access,
                          enum tg_op op)
{
    static const uint8_t kinds[] = {[TG_IN] = EPOCH_READ, [TG_OUT] = EPOCH_WRITE, [TG_INOUT] = EPOCH_WRITE,
                                    [TG_REDUCE] = EPOCH_REDUCE, [TG_COMMUTE] = EPOCH_COMMUTE};
    uint8_t kind = kinds[access];
    bool joins = kind != EPOCH_WRITE && kind == e->kind && (kind != EPOCH_REDUCE || e->op == op);
    if (!joins) {
        if (e->now == task && e->kind == EPOCH_WRITE)
            return true; /* the task writes these rows already */
        if (e->kind == EPOCH_READ && !second_spill(in, e))
            return false;
        set_drop(in, &e->before);
        e->before = e->now;
        e->now = SET_EMPTY;
        e->kind = kind;
        e->op = (uint8_t)op;
        _Static_assert(TG_NONE == SET_EMPTY, "so that this is no second reader either");
        e->group = TG_NONE;
    }
    if (!depend_on_set(in, task, e->before) ||
        !(kind == EPOCH_READ ? reader_add(in, e, task) : set_add(in, &e->now, task)))
        return false;
    return kind < EPOCH_COMMUTE || group_join(in, e, task, arg, kind == EPOCH_REDUCE, op);
}

static bool epochs_copy(struct infer *in, const struct epochs *from, struct epochs *to)
{
    *to = *from;
    return set_copy(in, from->before, &to->before) && set_copy(in, from->now, &to->now);
}

/* Cuts the segment that contains row `at` so that one begins there. */
static bool segment_cut(struct infer *in, uint32_t tile, uint32_t at)
{
    for (uint32_t s = in->cut[tile]; s != TG_NONE; s = in->segments[s].next) {
        if (at <= in->segments[s].begin || at >= in->segments[s].end)
            continue;
        if (!tgi_vec_reserve(&in->segments, &in->cap_segments, (uint64_t)in->n_segments + 1, sizeof *in->segments))
            return false;
        struct segment *left = &in->segments[s], *right = &in->segments[in->n_segments];
        if (!epochs_copy(in, &left->epochs, &right->epochs))
            return false;
        right->begin = at;
        right->end = left->end;
        right->next = left->next;
        left->end = at;
        left->next = in->n_segments++;
        return true;
    }
    return true;
}

static bool tile_make_segments(struct infer *in, uint32_t tile)
{
    const struct tgi_space *space = in->g->space;
    if (!in->cut) {
        in->cut = malloc((space->n_tiles + 1) * sizeof *in->cut);
        if (!in->cut)
            return false;
        memset(in->cut, 0xff, space->n_tiles * sizeof *in->cut);
    }
    if (in->cut[tile] != TG_NONE)
        return true;
    if (!tgi_vec_reserve(&in->segments, &in->cap_segments, (uint64_t)in->n_segments + 1, sizeof *in->segments))
        return false;
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tile);
    /* No range reaches beyond 2^32 - 1 rows; what lies there is only ever touched with the rest. */
    uint32_t n_rows = !b->n_dims ? 1 : b->shape[0] < UINT32_MAX ? (uint32_t)b->shape[0] : UINT32_MAX;
    in->segments[in->n_segments] = (struct segment){in->tiles[tile], 0, n_rows, TG_NONE};
    in->cut[tile] = in->n_segments++;
    return true;
}

static bool tile_access(struct infer *in, uint32_t tile, const struct tgi_range *rows, uint32_t task, uint32_t arg,
                        const struct tgi_param *p)
{
    if (rows) {
        if (!tile_make_segments(in, tile) || !segment_cut(in, tile, rows->begin) || !segment_cut(in, tile, rows->end))
            return false;
    } else if (!in->cut || in->cut[tile] == TG_NONE) {
        return epochs_access(in, &in->tiles[tile], task, arg, p->access, p->op);
    }
    for (uint32_t s = in->cut[tile]; s != TG_NONE; s = in->segments[s].next) {
        struct segment *segment = &in->segments[s];
        if ((!rows || (segment->begin >= rows->begin && segment->end <= rows->end)) &&
            !epochs_access(in, &segment->epochs, task, arg, p->access, p->op))
            return false;
    }
    return true;
}

static bool word_access(struct infer *in, uint64_t word, uint32_t task, uint32_t arg, const struct tgi_param *p)
{
    const struct tgi_space *space = in->g->space;
    uint32_t range = tgi_word_range(word);
    if (range == 0)
        return tile_access(in, tgi_word_tile(word), NULL, task, arg, p);
    if (word == TGI_WORD_NULL)
        return true;
    if (range != TGI_WORD_ALL)
        return tile_access(in, tgi_word_tile(word), &space->ranges[range - 1], task, arg, p);
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(word));
    for (uint32_t i = 0; i < b->n_tiles; i++)
        if (!tile_access(in, b->first_tile + i, NULL, task, arg, p))
            return false;
    return true;
}

/* ---- Tasks --------------------------------------------------------------------------------*/

static bool barrier_access(struct infer *in, uint32_t task)
{
    uint32_t first = in->barrier == TG_NONE ? 0 : in->barrier;
    in->barrier = TG_NONE; /* from here on it implies nothing: the last barrier may be a predecessor */
    for (uint32_t t = first; t < task; t++)
        if (!in->is_waited[t] && !depend(in, task, t))
            return false;
    in->barrier = task;
    return true;
}

/* Where the list that the task was added with starts. */
static inline uint32_t after_of(const struct tg_graph *g, uint32_t task)
{
    return g->after_at ? g->after_at[task] : TG_NONE;
}

/* Whether the list that a task was added with is all there is about it. */
static inline bool is_plain(const struct infer *in, uint32_t n_words, enum tgi_edges edges)
{
    return (n_words == 0 || edges == TGI_EDGES_DECLARED) && !in->is_waited && !in->g->n_late;
}

static bool plain_infer(struct infer *in, uint32_t task)
{
    struct tgi_preds *out = in->out;
    uint32_t at = after_of(in->g, task);
    if (at == TG_NONE)
        return true;
    if (task > 0 && in->last_plain == task - 1 && after_of(in->g, task - 1) == at) {
        out->first[task] = out->first[task - 1];
        in->last_plain = task;
        return true;
    }
    const uint32_t *list = in->g->afters + at;
    uint32_t n = *list++, end = out->n;
    if (!tgi_block_reserve(&out->preds, &out->cap, (uint64_t)end + n, sizeof *out->preds))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        out->preds[end] = list[i];
        end += in->seen[list[i]] != task + 1;
        in->seen[list[i]] = task + 1;
    }
    out->n = end;
    in->last_plain = task;
    return true;
}

static bool controls_infer(struct infer *in, uint32_t task)
{
    const struct tg_graph *g = in->g;
    uint32_t at = after_of(g, task);
    for (uint32_t i = 0; at != TG_NONE && i < g->afters[at]; i++)
        if (!depend(in, task, g->afters[at + 1 + i]))
            return false;
    for (; in->at_late < g->n_late && in->late[in->at_late].to == task; in->at_late++)
        if (!depend(in, task, in->late[in->at_late].from))
            return false;
    return true;
}

static bool task_infer(struct infer *in, uint32_t task, enum tgi_edges edges)
{
    const struct tg_graph *g = in->g;
    uint32_t n_words = tgi_graph_n_words(g, task); /* a tile that is left out is no tile */
    if (is_plain(in, n_words, edges))
        return plain_infer(in, task);
    const struct tgi_op *op = tgi_graph_op(g, task);
    const uint64_t *words = g->args + g->nodes[task].args;
    if (!controls_infer(in, task))
        return false;
    if (op->kind == TGI_OP_BARRIER)
        return barrier_access(in, task);
    for (uint32_t i = 0; edges == TGI_EDGES_INFERRED && i < n_words; i++)
        if (op->params[i].access != TG_SCALAR && !word_access(in, words[i], task, i, &op->params[i]))
            return false;
    if (in->barrier != TG_NONE && in->out->n == in->out->first[task])
        return depend(in, task, in->barrier);
    return true;
}

/* Late edges sorted by target: as they are if they were added that way, else a copy. */
static bool sort_late(struct infer *in)
{
    const struct tg_graph *g = in->g;
    bool is_sorted = true;
    for (uint32_t i = 1; is_sorted && i < g->n_late; i++)
        is_sorted = g->late[i - 1].to <= g->late[i].to;
    in->late = g->late;
    if (is_sorted)
        return true;
    in->sorted = malloc((size_t)g->n_late * sizeof *in->sorted);
    uint32_t *at = calloc((size_t)g->n_tasks + 2, sizeof *at);
    if (!in->sorted || !at) {
        free(at);
        return false;
    }
    for (uint32_t i = 0; i < g->n_late; i++)
        at[g->late[i].to + 1]++;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        at[t + 1] += at[t];
    for (uint32_t i = 0; i < g->n_late; i++)
        in->sorted[at[g->late[i].to]++] = g->late[i];
    in->late = in->sorted;
    free(at);
    return true;
}

static bool has_barrier(const struct tg_graph *g)
{
    return g->space->singletons[TGI_OP_BARRIER] != 0;
}

static int check_controls(const struct tg_graph *g, struct tg_error *err)
{
    struct tgi_after_walk walk = {0, 0, 0};
    struct tgi_control control;
    /* Late edges were checked when they were added, and so were lists, but for tasks yet to come. */
    while (g->names_later && tgi_after_next(g, &walk, &control)) {
        char scratch[16];
        if (control.from == control.to)
            return tgi_error(err, TG_E_CYCLE, "task \"%s\" is to start after itself",
                             tgi_graph_task_name(g, control.to, scratch));
        if (control.from >= g->n_tasks)
            return tgi_error(err, TG_E_UNKNOWN_TASK, "task %u is to start after task %u, which does not exist",
                             control.to, control.from);
    }
    return 0;
}

static void infer_fini(struct infer *in)
{
    tgi_block_free(in->tiles);
    free(in->cut);
    free(in->segments);
    free(in->cells);
    tgi_block_free(in->seen);
    free(in->is_waited);
    free(in->sorted);
}

static bool preds_init(const struct tg_graph *g, struct tgi_preds *out)
{
    memset(out, 0, sizeof *out);
    out->first = tgi_block_alloc(((size_t)g->n_tasks + 1) * sizeof *out->first);
    out->count = tgi_block_alloc(((size_t)g->n_tasks + 1) * sizeof *out->count);
    return out->first && out->count && tgi_block_reserve(&out->preds, &out->cap, (uint64_t)g->n_tasks + 16, sizeof *out->preds);
}

static bool infer_init(struct infer *in)
{
    const struct tg_graph *g = in->g;
    uint32_t n_tiles = g->space->n_tiles;
    in->tiles = tgi_block_alloc(((size_t)n_tiles + 1) * sizeof *in->tiles);
    in->seen = tgi_block_alloc_zeroed((size_t)g->n_tasks + 1, sizeof *in->seen);
    if (has_barrier(g))
        in->is_waited = calloc((size_t)g->n_tasks + 1, 1);
    if (!in->tiles || !in->seen || (has_barrier(g) && !in->is_waited) || !sort_late(in))
        return false;
    for (uint32_t i = 0; i < n_tiles; i++)
        in->tiles[i] = (struct epochs){.before = SET_EMPTY, .now = SET_EMPTY, .group = TG_NONE, .kind = EPOCH_NONE};
    return preds_init(g, in->out);
}

static bool share_a_tile(const struct tgi_space *space, uint64_t a, uint64_t b)
{
    if (a == TGI_WORD_NULL || b == TGI_WORD_NULL)
        return false;
    if (tgi_word_range(a) != TGI_WORD_ALL && tgi_word_range(b) != TGI_WORD_ALL)
        return tgi_word_tile(a) == tgi_word_tile(b);
    return tgi_space_buffer_of(space, tgi_word_tile(a)) == tgi_space_buffer_of(space, tgi_word_tile(b));
}

/* A private copy stands for one argument of each member, so all members must name the same rows,
 * and no argument may take part in two groups.  Other reduce groups take turns on the tile. */
static bool shares_restrict_copies(struct tg_graph *g)
{
    uint64_t *words = malloc(((size_t)g->n_groups + 1) * sizeof *words);
    if (!words)
        return false;
    memset(words, 0xff, (size_t)g->n_groups * sizeof *words);
    for (uint32_t i = 0; i < g->n_shares; i++) {
        const struct tgi_share *s = &g->shares[i];
        uint64_t word = g->args[g->nodes[s->task].args + s->arg];
        if (words[s->group] == UINT64_MAX)
            words[s->group] = word;
        else if (words[s->group] != word)
            g->groups[s->group].is_reduce = false;
        for (uint32_t k = i; k > 0 && g->shares[k - 1].task == s->task; k--)
            if (g->shares[k - 1].arg == s->arg)
                g->groups[s->group].is_reduce = g->groups[g->shares[k - 1].group].is_reduce = false;
        for (uint32_t k = 0; k < tgi_graph_op(g, s->task)->n_params; k++)
            if (k != s->arg && tgi_graph_op(g, s->task)->params[k].access != TG_SCALAR &&
                share_a_tile(g->space, tgi_graph_word(g, s->task, k), word))
                g->groups[s->group].is_reduce = false; /* the task reads the tile under another name too */
    }
    free(words);
    return true;
}

/* Groups of one member need no lock; those that remain are marked in the nodes. */
static bool shares_finish(struct tg_graph *g)
{
    uint32_t kept = 0;
    if (!shares_restrict_copies(g))
        return false;
    for (uint32_t i = 0; i < g->n_shares; i++)
        if (g->groups[g->shares[i].group].n_members > 1)
            g->shares[kept++] = g->shares[i];
    g->n_shares = kept;
    for (uint32_t i = 0; i < kept; i++) {
        g->nodes[g->shares[i].task].op |= TGI_NODE_SHARED;
        /* Within a task by group: a handful at most, nearly sorted. */
        for (uint32_t k = i; k > 0 && g->shares[k - 1].task == g->shares[k].task && g->shares[k - 1].group > g->shares[k].group; k--) {
            struct tgi_share swap = g->shares[k];
            g->shares[k] = g->shares[k - 1];
            g->shares[k - 1] = swap;
        }
    }
    return true;
}

int tgi_infer(struct tg_graph *g, enum tgi_edges edges, struct tgi_preds *out, struct tg_error *err)
{
    struct infer in = {.g = g, .out = out, .barrier = TG_NONE, .free_cells = SET_EMPTY, .last_plain = TG_NONE};
    int rc = check_controls(g, err);
    if (rc)
        return rc;
    bool ok = infer_init(&in);
    for (uint32_t t = 0; ok && t < g->n_tasks; t++) {
        out->first[t] = out->n;
        ok = task_infer(&in, t, edges);
        out->count[t] = out->n - out->first[t];
        out->n_edges += out->count[t];
    }
    infer_fini(&in);
    if (ok && edges == TGI_EDGES_INFERRED && g->n_shares)
        ok = shares_finish(g);
    if (!ok) {
        tgi_preds_fini(out);
        return tgi_error_memory(err, "inferring edges");
    }
    if (out->n_edges >= UINT32_MAX) {
        tgi_preds_fini(out);
        return tgi_error(err, TG_E_LIMIT, "more than 2^32 edges");
    }
    return 0;
}

void tgi_preds_fini(struct tgi_preds *preds)
{
    tgi_block_free(preds->preds);
    tgi_block_free(preds->first);
    tgi_block_free(preds->count);
    memset(preds, 0, sizeof *preds);
}
