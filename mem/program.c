/* See program.h. */
#include "mem/program.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

/* Commands that a search for implied dependencies looks at, beside four for each of those, the nearest first.  The graph's
 * own edges are reduced already; what is left are those that data adds, whose detour is short.  One that is not found costs
 * a replay little, while a search without end would cost a wide graph its square. */
enum { SEARCH = 48 };

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "recording a program"); }

void tgi_program_fini(struct tgi_program *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->commands[i].kind == TGI_COMMAND_DECIDE) {
            tgi_program_destroy(p->commands[i].decide.body);
            tgi_program_destroy(p->commands[i].decide.body_else);
        } else if (p->commands[i].kind == TGI_COMMAND_RESIDENT) {
            tgi_cluster_release(p->commands[i].cluster);
        }
    }
    free(p->commands);
    free(p->deps);
    free(p->words);
    free(p->mark);
    free(p->queue);
    memset(p, 0, sizeof *p);
}

void tgi_program_destroy(struct tgi_program *p)
{
    if (p)
        tgi_program_fini(p);
    free(p);
}

/* ---- Implied dependencies -----------------------------------------------------------------*/

enum { SEEN = 1, IS_DEP = 2 }; /* low bits of a mark; above: the search it belongs to */

static uint32_t mark_of(const struct tgi_program *p, uint32_t id) { return p->mark[id] >> 2 == p->serial ? p->mark[id] & 3 : 0; }
static void set_mark(struct tgi_program *p, uint32_t id, uint32_t bits) { p->mark[id] = p->serial << 2 | mark_of(p, id) | bits; }

static void next_serial(struct tgi_program *p)
{
    p->serial = (p->serial + 1) & (UINT32_MAX >> 2);
    if (p->serial == 0) { /* all marks look new once in a thousand million searches */
        memset(p->mark, 0, p->cap_mark * sizeof *p->mark);
        p->serial = 1;
    }
}

/* Marks as seen what stands before the dependencies, down to the lowest of their levels. */
static bool search(struct tgi_program *p, const uint32_t *deps, uint32_t n_deps)
{
    uint32_t lowest = UINT32_MAX, n = 0, next = 0;
    uint64_t budget = SEARCH + 4 * (uint64_t)n_deps;
    next_serial(p);
    for (uint32_t i = 0; i < n_deps; i++) {
        uint32_t level = p->commands[deps[i]].level;
        lowest = level < lowest ? level : lowest;
        set_mark(p, deps[i], IS_DEP);
    }
    if (!tgi_vec_reserve(&p->queue, &p->cap_queue, n_deps + budget + 1, sizeof *p->queue))
        return false;
    for (uint32_t i = 0; i < n_deps; i++)
        p->queue[n++] = deps[i];
    while (next < n && budget) {
        const struct tgi_command *c = &p->commands[p->queue[next++]];
        for (uint32_t i = 0; i < c->n_deps && budget; i++) {
            uint32_t before = p->deps[c->first_dep + i];
            if (mark_of(p, before) & SEEN || p->commands[before].level < lowest)
                continue;
            budget--;
            set_mark(p, before, SEEN);
            if (!(mark_of(p, before) & IS_DEP)) /* those are in the queue already */
                p->queue[n++] = before;
        }
    }
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* What is left of the dependencies goes behind the others, in ascending order. */
static bool add_deps(struct tgi_program *p, const uint32_t *deps, uint32_t n_deps, bool is_searched, uint32_t *n_left_p)
{
    uint32_t n = 0, *to;
    if (!tgi_vec_reserve(&p->deps, &p->cap_deps, (uint64_t)p->n_deps + n_deps, sizeof *p->deps))
        return false;
    is_searched = is_searched && n_deps > 1;
    if (is_searched && !search(p, deps, n_deps))
        return false;
    to = n_deps ? p->deps + p->n_deps : NULL;
    for (uint32_t i = 0; i < n_deps; i++)
        if (!is_searched || !(mark_of(p, deps[i]) & SEEN))
            to[n++] = deps[i];
    if (n > 1)
        qsort(to, n, sizeof *to, compare_ids);
    *n_left_p = n;
    return true;
}

/* ---- Adding -------------------------------------------------------------------------------*/

/* mark has room for every command there is; new room is unmarked. */
static bool reserve_marks(struct tgi_program *p)
{
    uint32_t before = p->cap_mark;
    if (!tgi_vec_reserve(&p->mark, &p->cap_mark, (uint64_t)p->n + 1, sizeof *p->mark))
        return false;
    memset(p->mark + before, 0, (size_t)(p->cap_mark - before) * sizeof *p->mark);
    return true;
}

static uint32_t level_after(const struct tgi_program *p, const uint32_t *deps, uint32_t n)
{
    uint32_t level = 0;
    for (uint32_t i = 0; i < n; i++)
        level = p->commands[deps[i]].level + 1 > level ? p->commands[deps[i]].level + 1 : level;
    return level;
}

static int add(struct tgi_program *p, const struct tgi_command *command, const uint32_t *deps, uint32_t n_deps, bool is_searched,
               uint32_t *id_p, struct tg_error *err)
{
    uint32_t n_left = 0;
    if (!tgi_vec_reserve(&p->commands, &p->cap, (uint64_t)p->n + 1, sizeof *p->commands) || !reserve_marks(p) ||
        !add_deps(p, deps, n_deps, is_searched, &n_left))
        return no_memory(err);
    struct tgi_command *c = &p->commands[p->n];
    *c = *command;
    c->first_dep = p->n_deps;
    c->n_deps = n_left;
    c->level = level_after(p, deps, n_deps);
    p->n_deps += n_left;
    if (c->kind == TGI_COMMAND_RESIDENT)
        tgi_cluster_retain(c->cluster);
    *id_p = p->n++;
    return 0;
}

int tgi_program_add(struct tgi_program *p, const struct tgi_command *command, const uint32_t *deps, uint32_t n_deps,
                    uint32_t *id_p, struct tg_error *err)
{
    return add(p, command, deps, n_deps, true, id_p, err);
}

int tgi_program_add_words(struct tgi_program *p, const uint64_t *words, uint32_t n, uint32_t *first_p, struct tg_error *err)
{
    if (!tgi_vec_reserve(&p->words, &p->cap_words, (uint64_t)p->n_words + n + 1, sizeof *p->words))
        return no_memory(err);
    if (n)
        memcpy(p->words + p->n_words, words, n * sizeof *words);
    *first_p = p->n_words;
    p->n_words += n;
    return 0;
}

/* ---- Narrowing ----------------------------------------------------------------------------
 *
 * Commands of a side, the launches of a device or all else that it does, are laid into chains, each of which is in order.  A
 * command goes on with the chain that ends in one it comes after anyway, else it begins one, and where there are
 * as many as may be it goes on with the one that has been at rest longest, which is the only order that is added.
 *
 * Which of its dependencies are implied the chains tell by themselves.  Searching once more would leave out at most three in a
 * hundred of what they keep of random graphs, and searches are what recording such a graph spends most time on. */

struct chain {
    uint32_t tail, level; /* its last command, and that one's level */
    uint32_t *seen;       /* by chain: commands of it with numbers below this come before the tail */
};

struct narrow {
    const struct tgi_program *from;
    struct tgi_program *to;
    uint32_t width, n_sides;
    struct chain *chains;  /* in the order in which they were begun */
    uint32_t n_chains, most_chains;
    uint32_t *n_of_side;   /* chains of a side */
    uint32_t *side_of;     /* by chain */
    uint32_t *chain_of;    /* by command */
    uint32_t *deps;        /* of the command at hand */
    uint32_t *last;        /* by chain: 1 + the last of those in it; 0 between commands */
    uint32_t *touched;     /* chains that have one */
};

/* Signals and awaits are small kernels. */
static uint32_t side_of(const struct tgi_command *c)
{
    bool is_kernel = c->kind == TGI_COMMAND_LAUNCH || c->kind == TGI_COMMAND_SIGNAL || c->kind == TGI_COMMAND_AWAIT;
    return tgi_lane_device(c->lane) * 2 + !is_kernel;
}

static uint32_t begin_chain(struct narrow *w, uint32_t side)
{
    struct chain *chain = &w->chains[w->n_chains];
    *chain = (struct chain){TG_NONE, 0, calloc(w->most_chains, sizeof *chain->seen)};
    if (!chain->seen)
        return TG_NONE;
    w->n_of_side[side]++;
    w->side_of[w->n_chains] = side;
    return w->n_chains++;
}

/* TG_NONE: no memory. */
static uint32_t choose_chain(struct narrow *w, const struct tgi_command *c)
{
    uint32_t side = side_of(c), best = TG_NONE;
    for (uint32_t i = 0; i < c->n_deps; i++) {
        uint32_t dep = w->from->deps[c->first_dep + i], chain = w->chain_of[dep];
        if (w->chains[chain].tail == dep && w->side_of[chain] == side)
            return chain;
    }
    if (w->n_of_side[side] < w->width)
        return begin_chain(w, side);
    for (uint32_t i = 0; i < w->n_chains; i++)
        if (w->side_of[i] == side && (best == TG_NONE || w->chains[i].level < w->chains[best].level))
            best = i;
    return best;
}

static void touch(struct narrow *w, uint32_t dep, uint32_t *n_p)
{
    uint32_t chain = w->chain_of[dep];
    if (w->last[chain] == 0)
        w->touched[(*n_p)++] = chain;
    if (w->last[chain] < dep + 1)
        w->last[chain] = dep + 1;
}

/* Whether the end of another chain that is among the dependencies comes after this one. */
static bool is_implied(const struct narrow *w, uint32_t chain, uint32_t n_touched)
{
    for (uint32_t i = 0; i < n_touched; i++) {
        uint32_t other = w->touched[i];
        if (other != chain && w->last[other] == w->chains[other].tail + 1 && w->chains[other].seen[chain] >= w->last[chain])
            return true;
    }
    return false;
}

/* Of each chain the last one alone matters.  The number that is left. */
static uint32_t gather_deps(struct narrow *w, const struct tgi_command *c, uint32_t chain)
{
    uint32_t n_touched = 0, n = 0;
    for (uint32_t i = 0; i < c->n_deps; i++)
        touch(w, w->from->deps[c->first_dep + i], &n_touched);
    if (w->chains[chain].tail != TG_NONE)
        touch(w, w->chains[chain].tail, &n_touched);
    for (uint32_t i = 0; i < n_touched; i++)
        if (!is_implied(w, w->touched[i], n_touched))
            w->deps[n++] = w->last[w->touched[i]] - 1;
    for (uint32_t i = 0; i < n_touched; i++)
        w->last[w->touched[i]] = 0;
    return n;
}

/* The command is the chain's tail now, and has seen what those before it had. */
static void extend(struct narrow *w, uint32_t chain, uint32_t id, uint32_t n_deps)
{
    uint32_t *seen = w->chains[chain].seen;
    for (uint32_t i = 0; i < n_deps; i++) {
        const struct chain *before = &w->chains[w->chain_of[w->deps[i]]];
        for (uint32_t k = 0; before->tail == w->deps[i] && k < w->n_chains; k++)
            seen[k] = before->seen[k] > seen[k] ? before->seen[k] : seen[k];
    }
    for (uint32_t i = 0; i < n_deps; i++) {
        uint32_t other = w->chain_of[w->deps[i]];
        seen[other] = w->deps[i] + 1 > seen[other] ? w->deps[i] + 1 : seen[other];
    }
    seen[chain] = id;
    w->chains[chain].tail = id;
    w->chains[chain].level = w->to->commands[id].level;
    w->chain_of[id] = chain;
}

static int narrow_body(const struct tgi_program *from, uint32_t width, struct tgi_program **to_p, struct tg_error *err)
{
    struct tgi_program *to = from ? calloc(1, sizeof *to) : NULL;
    int rc = !from ? 0 : to ? tgi_program_narrow(from, width, to, err) : no_memory(err);
    *to_p = rc ? NULL : to;
    if (rc)
        free(to);
    return rc;
}

/* What becomes of the command: the same with bodies of its own. */
static int copy_command(const struct narrow *w, const struct tgi_command *from, struct tgi_command *to, struct tg_error *err)
{
    *to = *from;
    if (from->kind != TGI_COMMAND_DECIDE)
        return 0;
    to->decide.body = to->decide.body_else = NULL;
    int rc = narrow_body(from->decide.body, w->width, &to->decide.body, err);
    return rc ? rc : narrow_body(from->decide.body_else, w->width, &to->decide.body_else, err);
}

static int narrow_one(struct narrow *w, uint32_t old, struct tg_error *err)
{
    const struct tgi_command *c = &w->from->commands[old];
    uint32_t chain = choose_chain(w, c), id;
    struct tgi_command copy;
    if (chain == TG_NONE)
        return no_memory(err);
    uint32_t n = gather_deps(w, c, chain);
    int rc = copy_command(w, c, &copy, err);
    if (rc == 0)
        rc = add(w->to, &copy, w->deps, n, false, &id, err);
    if (rc == 0)
        extend(w, chain, id, n);
    else if (c->kind == TGI_COMMAND_DECIDE) {
        tgi_program_destroy(copy.decide.body);
        tgi_program_destroy(copy.decide.body_else);
    }
    return rc;
}

static bool narrow_init(struct narrow *w)
{
    const struct tgi_program *from = w->from;
    uint32_t most = 0;
    for (uint32_t i = 0; i < from->n; i++) {
        w->n_sides = side_of(&from->commands[i]) + 1 > w->n_sides ? side_of(&from->commands[i]) + 1 : w->n_sides;
        most = from->commands[i].n_deps > most ? from->commands[i].n_deps : most;
    }
    w->most_chains = from->n < w->n_sides * w->width ? from->n : w->n_sides * w->width;
    w->chains = calloc(w->most_chains + 1, sizeof *w->chains);
    w->n_of_side = calloc(w->n_sides + 1, sizeof *w->n_of_side);
    w->side_of = calloc(w->most_chains + 1, sizeof *w->side_of);
    w->chain_of = calloc((size_t)from->n + 1, sizeof *w->chain_of);
    w->deps = calloc((size_t)most + 1, sizeof *w->deps);
    w->last = calloc(w->most_chains + 1, sizeof *w->last);
    w->touched = calloc(w->most_chains + 1, sizeof *w->touched);
    return w->chains && w->n_of_side && w->side_of && w->chain_of && w->deps && w->last && w->touched;
}

static void narrow_fini(struct narrow *w)
{
    for (uint32_t i = 0; i < w->n_chains; i++)
        free(w->chains[i].seen);
    free(w->chains);
    free(w->n_of_side);
    free(w->side_of);
    free(w->chain_of);
    free(w->deps);
    free(w->last);
    free(w->touched);
}

int tgi_program_narrow(const struct tgi_program *from, uint32_t width, struct tgi_program *to, struct tg_error *err)
{
    struct narrow w = {.from = from, .to = to, .width = width};
    uint32_t first;
    int rc = narrow_init(&w) ? tgi_program_add_words(to, from->words, from->n_words, &first, err) : no_memory(err);
    for (uint32_t i = 0; rc == 0 && i < from->n; i++)
        rc = narrow_one(&w, i, err);
    narrow_fini(&w);
    if (rc)
        tgi_program_fini(to);
    return rc;
}

/* ---- Comparing ----------------------------------------------------------------------------*/

static bool are_bodies_alike(const struct tgi_program *a, const struct tgi_program *b)
{
    return a && b ? tgi_program_is_alike(a, b) : a == b;
}

/* A fill of another size or type, or a launch by another of the kernel's ways, is made of other commands of the driver's. */
static bool is_alike(const struct tgi_program *p, const struct tgi_program *q, const struct tgi_command *a,
                     const struct tgi_command *b)
{
    if (a->kind != b->kind || a->lane != b->lane || a->n_deps != b->n_deps || a->owner != b->owner || !a->step != !b->step ||
        (a->n_deps && memcmp(p->deps + a->first_dep, q->deps + b->first_dep, a->n_deps * sizeof *p->deps)))
        return false;
    switch (a->kind) {
    case TGI_COMMAND_LAUNCH:
        return a->launch.code == b->launch.code && a->launch.shape.alternative == b->launch.shape.alternative;
    case TGI_COMMAND_COPY:
        return a->copy.to_node == b->copy.to_node && a->copy.from_node == b->copy.from_node && a->copy.bytes == b->copy.bytes;
    case TGI_COMMAND_FILL:
        return a->fill.n_elems == b->fill.n_elems && a->fill.dtype == b->fill.dtype;
    case TGI_COMMAND_COLLECT:
        return a->collect.op == b->collect.op && a->collect.n_ranks == b->collect.n_ranks;
    case TGI_COMMAND_DECIDE:
        return a->decide.tile_bytes == b->decide.tile_bytes && a->decide.n_rounds == b->decide.n_rounds &&
               are_bodies_alike(a->decide.body, b->decide.body) && are_bodies_alike(a->decide.body_else, b->decide.body_else);
    case TGI_COMMAND_RESIDENT: /* its tables are on the device: another one has others */
        return tgi_cluster_is_same(a->cluster, b->cluster);
    case TGI_COMMAND_SIGNAL:
        return a->flags.n == b->flags.n &&
               memcmp(p->words + a->flags.first, q->words + b->flags.first, a->flags.n * sizeof *p->words) == 0;
    case TGI_COMMAND_AWAIT:
        return a->flags.first == b->flags.first && a->flags.n == b->flags.n;
    default:
        return true;
    }
}

bool tgi_program_is_alike(const struct tgi_program *a, const struct tgi_program *b)
{
    if (a->n != b->n || a->n_deps != b->n_deps)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!is_alike(a, b, &a->commands[i], &b->commands[i]))
            return false;
    return true;
}

static bool are_words_same(const struct tgi_program *a, uint32_t i, const struct tgi_program *b, uint32_t k, uint32_t n)
{
    return n == 0 || memcmp(a->words + i, b->words + k, n * sizeof *a->words) == 0;
}

/* Of two bodies that are alike. */
static bool are_bodies_same(const struct tgi_program *a, const struct tgi_program *b)
{
    for (uint32_t i = 0; a && i < a->n; i++)
        if (!tgi_command_is_same(a, b, i))
            return false;
    return true;
}

bool tgi_command_is_same(const struct tgi_program *a, const struct tgi_program *b, uint32_t id)
{
    const struct tgi_command *x = &a->commands[id], *y = &b->commands[id];
    switch (x->kind) {
    case TGI_COMMAND_LAUNCH:
        return x->launch.n_args == y->launch.n_args &&
               memcmp(&x->launch.shape, &y->launch.shape, sizeof x->launch.shape) == 0 &&
               are_words_same(a, x->launch.first_arg, b, y->launch.first_arg, x->launch.n_args);
    case TGI_COMMAND_COPY:
        return x->copy.to == y->copy.to && x->copy.from == y->copy.from;
    case TGI_COMMAND_FILL:
        return x->fill.address == y->fill.address && x->fill.word == y->fill.word;
    case TGI_COMMAND_COLLECT:
        return x->collect.n_elems == y->collect.n_elems && x->collect.dtype == y->collect.dtype &&
               are_words_same(a, x->collect.first_rank, b, y->collect.first_rank, 2 * x->collect.n_ranks);
    case TGI_COMMAND_DECIDE:
        return x->decide.tile == y->decide.tile && are_bodies_same(x->decide.body, y->decide.body) &&
               are_bodies_same(x->decide.body_else, y->decide.body_else);
    default:
        return true;
    }
}

uint32_t tgi_program_size(const struct tgi_program *p)
{
    uint32_t n = p ? p->n : 0;
    for (uint32_t i = 0; p && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_DECIDE)
            n += tgi_program_size(p->commands[i].decide.body) + tgi_program_size(p->commands[i].decide.body_else);
    return n;
}

uint32_t tgi_program_body_base(const struct tgi_program *p, uint32_t base, uint32_t decision, bool is_else)
{
    base += p->n;
    for (uint32_t i = 0; i < decision; i++)
        if (p->commands[i].kind == TGI_COMMAND_DECIDE)
            base += tgi_program_size(p->commands[i].decide.body) + tgi_program_size(p->commands[i].decide.body_else);
    return is_else ? base + tgi_program_size(p->commands[decision].decide.body) : base;
}

const char *tgi_command_kind_name(enum tgi_command_kind kind)
{
    static const char *const names[TGI_N_COMMAND_KINDS] = {"launch", "copy", "fill", "collective", "decision", "point", "cluster", "signal", "await"};
    return names[kind];
}
