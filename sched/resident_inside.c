/* See resident_inside.h. */
#include "sched/resident_inside.h"

#include <stdlib.h>
#include <string.h>

#include "graph/vec.h"
#include "sched/resident_batch.h"

void tgi_inside_fini(struct tgi_inside *in)
{
    free(in->succ_at);
    free(in->succ);
    free(in->op);
    free(in->arg);
    free(in->post);
    free(in->cost_ns);
    free(in->kernel_ns);
    free(in->device_of);
    free(in->width);
    free(in->is_block);
    free(in->level);
    free(in->n_at);
    free(in->thread_body);
    free(in->apart.succ_at);
    free(in->apart.succ);
    free(in->apart.op);
    free(in->apart.device_of);
}

static const double MARGIN = 1.25; /* by which a task has to be faster a block wide */

/* Right whatever is in `local` of others. */
static bool is_member(const struct tgi_members *m, uint32_t id) { return m->local[id] < m->n && m->id[m->local[id]] == id; }

/* Edges inside; levels come for nothing, as members are in order. */
static void link_members(struct tgi_inside *in, const struct tgi_members *m)
{
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t t = 0; t < m->n; t++) {
            const struct tgi_command *c = &m->from->commands[m->id[t]];
            for (uint32_t d = 0; d < c->n_deps; d++) {
                uint32_t dep = m->from->deps[c->first_dep + d];
                if (!is_member(m, dep))
                    continue;
                uint32_t from = m->local[dep];
                if (pass == 0) {
                    in->succ_at[from + 2]++;
                    in->level[t] = in->level[from] + 1 > in->level[t] ? in->level[from] + 1 : in->level[t];
                } else
                    in->succ[in->succ_at[from + 1]++] = t;
            }
        }
        for (uint32_t t = 0; pass == 0 && t < m->n; t++)
            in->succ_at[t + 2] += in->succ_at[t + 1];
    }
    for (uint32_t t = 0; t < m->n; t++) {
        uint32_t wide = ++in->n_at[in->level[t]];
        in->n_widest = wide > in->n_widest ? wide : in->n_widest;
    }
}

/* What its tasks do; their words go into the cluster. */
static bool fill_members(struct tgi_inside *in, const struct tgi_members *m, struct tgi_cluster *cluster)
{
    uint32_t cap = 0, n_words_of_all = 0;
    bool spawns = false;
    for (uint32_t t = 0; t < m->n; t++) {
        const struct tgi_command *c = &m->from->commands[m->id[t]];
        struct tgi_resident_call call = {.n_words = 0};
        const char *why;
        cluster->owner[t] = c->owner;
        cluster->step[t] = c->step;
        cluster->is_timed |= c->step != 0;
        in->op[t] = c->kind == TGI_COMMAND_NOTHING ? TGI_RESIDENT_EMPTY : TGI_RESIDENT_CALL;
        in->cost_ns[t] = m->cost_ns[m->id[t]];
        if (m->times) {
            in->kernel_ns[t] = m->times[m->id[t]].kernel_ns;
            in->n_timed += m->times[m->id[t]].body_ns > 0;
        }
        if (in->op[t] == TGI_RESIDENT_EMPTY || !m->ds->ops->resident_call(m->ds, m->from, c, &call, &why))
            continue;
        uint32_t n_words = call.post ? TGI_POST_N_WORDS : call.n_words;
        if (!tgi_vec_reserve(&cluster->words, &cap, (uint64_t)cluster->n_words + n_words + 1, sizeof *cluster->words))
            return false;
        memset(cluster->words + cluster->n_words, 0, n_words * sizeof *call.words);
        memcpy(cluster->words + cluster->n_words, call.words, call.n_words * sizeof *call.words);
        in->arg[t] = TGI_CALL(call.body, call.n_words, cluster->n_words);
        in->post[t] = (struct tgi_post){call.post, call.bytes, call.side};
        in->width[t] = call.is_block ? TGI_INSIDE_BLOCK : call.can_block ? TGI_INSIDE_MAY_BLOCK : TGI_INSIDE_WARP;
        in->n_must_block += call.is_block;
        in->thread_body[t] = call.is_thread ? 1 + call.body : 0;
        in->n_threads += call.is_thread;
        spawns |= call.spawns;
        n_words_of_all = call.n_words > n_words_of_all ? call.n_words : n_words_of_all;
        cluster->n_words += n_words;
        cluster->n_calls++;
    }
    in->n_spawn_words = spawns ? n_words_of_all : 0;
    return true;
}

/* Which devices its tasks are on. */
static void place_members(struct tgi_inside *in, const struct tgi_members *m, struct tgi_cluster *cluster)
{
    uint8_t number[TGI_MAX_DEVICES] = {0};
    uint32_t seen = 0;
    for (uint32_t t = 0; t < m->n; t++)
        seen |= 1u << tgi_lane_device(m->from->commands[m->id[t]].lane);
    for (uint32_t d = 0; d < m->ds->n_devices; d++)
        if (seen >> d & 1) {
            number[d] = (uint8_t)cluster->n_devices;
            cluster->device[cluster->n_devices++] = d;
        }
    for (uint32_t t = 0; t < m->n; t++)
        in->device_of[t] = number[tgi_lane_device(m->from->commands[m->id[t]].lane)];
}

/* ---- Batches ------------------------------------------------------------------------------*/

/* The words of a batch's members, member by member for each word; of any other task its own. */
static bool put_words(struct tgi_inside *in, const struct tgi_batches *b, uint32_t task, const uint64_t *from, const uint64_t *arg,
                      struct tgi_cluster *cluster, uint32_t *cap)
{
    uint32_t begin = b->first[task], n = b->first[task + 1] - begin, low = (uint32_t)arg[b->member[begin]];
    uint32_t n_words = TGI_CALL_N_WORDS(low), n_kept = in->post[task].body ? TGI_POST_N_WORDS : n_words, first = cluster->n_words;
    bool is_batch = in->thread_body[b->member[begin]] != 0;
    if (is_batch && n_words == 0) /* a lane needs something to begin with */
        n_kept = n_words = 1;
    if (in->op[task] == TGI_RESIDENT_EMPTY)
        return true;
    if (!tgi_vec_reserve(&cluster->words, cap, (uint64_t)first + 1 + (uint64_t)n * n_kept, sizeof *cluster->words))
        return false;
    if (is_batch)
        cluster->words[cluster->n_words++] = n;
    for (uint32_t k = 0; k < n_kept; k++)
        for (uint32_t i = 0; i < n; i++)
            cluster->words[cluster->n_words++] = TGI_CALL_N_WORDS(low) ? from[(uint32_t)(arg[b->member[begin + i]] >> 32) + k] : 0;
    in->arg[task] = TGI_CALL(TGI_CALL_BODY(low), n_words, first) | (is_batch ? TGI_CALL_BATCH : 0);
    return true;
}

/* What was known by command, once it is for tasks. */
struct by_command {
    uint64_t *words, *arg, *owner;
    uint32_t *step, *level;
    struct tgi_post *post;
    float *cost_ns;
    uint8_t *width;
};

static void by_command_fini(struct by_command *c)
{
    free(c->words);
    free(c->arg);
    free(c->owner);
    free(c->step);
    free(c->level);
    free(c->post);
    free(c->cost_ns);
    free(c->width);
}

/* Room for n tasks in the place of what was there for commands.  False: no memory. */
static bool make_room(struct tgi_inside *in, struct tgi_cluster *cluster, uint32_t n, struct by_command *before)
{
    *before = (struct by_command){cluster->words, in->arg, cluster->owner, cluster->step, in->level, in->post, in->cost_ns, in->width};
    in->arg = calloc((size_t)n + 1, sizeof *in->arg);
    in->level = calloc((size_t)n + 1, sizeof *in->level);
    in->post = calloc((size_t)n + 1, sizeof *in->post);
    in->cost_ns = calloc((size_t)n + 1, sizeof *in->cost_ns);
    in->width = calloc((size_t)n + 1, 1);
    in->op = malloc((size_t)n + 1);
    in->device_of = malloc((size_t)n + 1);
    cluster->owner = malloc(((size_t)in->apart.dag.n_tasks + 1) * sizeof *cluster->owner);
    cluster->step = malloc(((size_t)in->apart.dag.n_tasks + 1) * sizeof *cluster->step);
    cluster->words = NULL;
    cluster->n_words = 0;
    return in->arg && in->level && in->post && in->cost_ns && in->width && in->op && in->device_of && cluster->owner && cluster->step;
}

/* A task, from its members: a batch takes as long as its longest.  False: no memory. */
static bool join_members(struct tgi_inside *in, const struct tgi_batches *b, uint32_t task, const struct by_command *before,
                         struct tgi_cluster *cluster, uint32_t *cap)
{
    uint32_t one = b->member[b->first[task]], level = before->level[one];
    in->op[task] = in->apart.op[one];
    in->device_of[task] = in->apart.device_of[one];
    in->level[task] = level;
    in->post[task] = before->post[one];
    in->width[task] = before->width[one];
    in->n_widest = ++in->n_at[level] > in->n_widest ? in->n_at[level] : in->n_widest;
    for (uint32_t i = b->first[task]; i < b->first[task + 1]; i++) {
        float cost_ns = before->cost_ns[b->member[i]];
        in->cost_ns[task] = cost_ns > in->cost_ns[task] ? cost_ns : in->cost_ns[task];
        cluster->owner[i] = before->owner[b->member[i]];
        cluster->step[i] = before->step[b->member[i]];
    }
    return put_words(in, b, task, before->words, before->arg, cluster, cap);
}

static bool join_all(struct tgi_inside *in, const struct tgi_batches *b, struct tgi_cluster *cluster)
{
    struct by_command before;
    uint32_t cap = 0;
    bool is_good = make_room(in, cluster, b->n, &before);
    memset(in->n_at, 0, in->apart.dag.n_tasks * sizeof *in->n_at);
    in->n_widest = 0;
    for (uint32_t t = 0; is_good && t < b->n; t++)
        is_good = join_members(in, b, t, &before, cluster, &cap);
    by_command_fini(&before);
    return is_good;
}

/* Commands a thread wide become batches, and what was planned for each command is for each task then. */
static bool make_batches(struct tgi_inside *in, struct tgi_cluster *cluster)
{
    uint32_t n = in->dag.n_tasks, *kind = malloc(((size_t)n + 1) * sizeof *kind);
    struct tgi_batches b = {.n = 0};
    for (uint32_t t = 0; kind && t < n; t++)
        kind[t] = in->thread_body[t] ? in->thread_body[t] + in->device_of[t] * 0x20000u : 0;
    bool is_good = kind && tgi_batches_init(&b, &(struct tgi_batch_members){n, in->succ_at, in->succ, in->level, kind});
    free(kind);
    if (is_good) {
        in->apart = (struct tgi_inside_apart){in->dag, in->succ_at, in->succ, in->op, in->device_of};
        in->apart.dag.arg = in->apart.dag.words = NULL;
        in->apart.dag.cost_ns = NULL;
        in->succ_at = b.succ_at;
        in->succ = b.succ;
        cluster->first_of = b.first;
        cluster->n_batches = b.n_wide;
        is_good = join_all(in, &b, cluster);
        in->dag.n_tasks = b.n;
        b.succ_at = b.succ = b.first = NULL; /* others have them now */
    }
    tgi_batches_fini(&b);
    return is_good;
}

const struct tgi_resident_dag *tgi_inside_apart(const struct tgi_inside *in) { return in->apart.dag.n_tasks ? &in->apart.dag : &in->dag; }

/* ---- All of it ----------------------------------------------------------------------------*/

static void fill_dag(struct tgi_inside *in, const struct tgi_cluster *cluster, uint32_t n)
{
    in->dag = (struct tgi_resident_dag){.n_tasks = n, .succ_at = in->succ_at, .succ = in->succ, .op = in->op,
                                        .arg = in->arg, .words = cluster->words, .cost_ns = in->cost_ns,
                                        .device_of = cluster->n_devices > 1 ? in->device_of : NULL};
}

bool tgi_inside_init(struct tgi_inside *in, const struct tgi_members *m, struct tgi_cluster *cluster)
{
    uint32_t n = m->n, n_edges = 0;
    for (uint32_t t = 0; t < m->n; t++) {
        m->local[m->id[t]] = t;
        n_edges += m->from->commands[m->id[t]].n_deps;
    }
    in->succ_at = calloc((size_t)n + 3, sizeof *in->succ_at);
    in->succ = malloc(((size_t)n_edges + 1) * sizeof *in->succ);
    in->op = malloc((size_t)n + 1);
    in->arg = calloc((size_t)n + 1, sizeof *in->arg);
    in->post = calloc((size_t)n + 1, sizeof *in->post);
    in->cost_ns = malloc(((size_t)n + 1) * sizeof *in->cost_ns);
    in->kernel_ns = malloc(((size_t)n + 1) * sizeof *in->kernel_ns);
    in->device_of = malloc((size_t)n + 1);
    in->width = calloc((size_t)n + 1, 1);
    in->is_block = calloc((size_t)n + 1, 1);
    in->level = calloc((size_t)n + 1, sizeof *in->level);
    in->n_at = calloc((size_t)n + 1, sizeof *in->n_at);
    in->thread_body = calloc((size_t)n + 1, sizeof *in->thread_body);
    cluster->owner = malloc(((size_t)n + 1) * sizeof *cluster->owner);
    cluster->step = malloc(((size_t)n + 1) * sizeof *cluster->step);
    if (!in->succ_at || !in->succ || !in->op || !in->arg || !in->post || !in->cost_ns || !in->kernel_ns || !in->device_of || !in->width ||
        !in->is_block || !in->level || !in->n_at || !in->thread_body || !cluster->owner || !cluster->step)
        return false;
    link_members(in, m);
    place_members(in, m, cluster);
    if (!fill_members(in, m, cluster))
        return false;
    fill_dag(in, cluster, n);
    if (in->n_threads) {
        if (!make_batches(in, cluster))
            return false;
        fill_dag(in, cluster, in->dag.n_tasks);
    }
    return true;
}

/* How many blocks a level needs with as many tasks of either width. */
static uint32_t blocks_for(uint32_t n_block, uint32_t n_warp, uint32_t n_each) { return n_block + (n_warp + n_each - 1) / n_each; }

/* All of a level's tasks are taken to be as long as this one: they go in rounds, as many at a time as there are workers, or blocks. */
static bool is_faster_wide(double cost_ns, uint32_t n_at_level, uint32_t n_blocks, uint32_t n_each)
{
    uint32_t wide = (n_at_level + n_blocks - 1) / n_blocks, narrow = (n_at_level + n_blocks * n_each - 1) / (n_blocks * n_each);
    return wide * (cost_ns / n_each + TGI_RESIDENT_BLOCK_NS) * MARGIN < narrow * cost_ns;
}

uint32_t tgi_inside_widen(struct tgi_inside *in, enum tgi_width_wish wish, uint32_t n_blocks, uint32_t n_each)
{
    uint32_t n = in->dag.n_tasks, most = 0, n_wide = 0;
    for (uint32_t t = 0; t < n; t++) {
        bool may = in->width[t] == TGI_INSIDE_MAY_BLOCK && wish != TGI_WIDTH_WARP && n_each > 1;
        bool is_block = in->width[t] == TGI_INSIDE_BLOCK ||
                        (may && (wish == TGI_WIDTH_BLOCK || is_faster_wide((double)in->cost_ns[t], in->n_at[in->level[t]], n_blocks, n_each)));
        in->is_block[t] = is_block;
        n_wide += is_block;
        if (is_block)
            in->cost_ns[t] /= (float)n_each;
    }
    in->dag.is_block = n_wide ? in->is_block : NULL;
    uint32_t *n_block_at = calloc((size_t)n + 1, sizeof *n_block_at);
    for (uint32_t t = 0; n_block_at && t < n; t++)
        n_block_at[in->level[t]] += in->is_block[t];
    for (uint32_t t = 0; n_block_at && t < n; t++) {
        uint32_t l = in->level[t], need = blocks_for(n_block_at[l], in->n_at[l] - n_block_at[l], n_each);
        most = need > most ? need : most;
    }
    free(n_block_at);
    return !most || most > n_blocks ? n_blocks : most; /* without memory: all */
}

bool tgi_inside_post(struct tgi_inside *in, const struct tgi_cluster *cluster)
{
    struct tgi_posting posting = {in->dag.n_tasks, in->post, in->succ_at, in->succ, in->op, in->arg, cluster->words};
    bool is_good = tgi_resident_post(&posting, &in->n_posts);
    in->dag.succ_at = in->succ_at = posting.succ_at;
    in->dag.succ = in->succ = posting.succ;
    return is_good;
}
