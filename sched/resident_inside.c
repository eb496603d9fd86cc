/* See resident_inside.h. */
#include "sched/resident_inside.h"

#include <stdlib.h>
#include <string.h>

#include "graph/vec.h"

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
    cluster->owner = malloc(((size_t)n + 1) * sizeof *cluster->owner);
    cluster->step = malloc(((size_t)n + 1) * sizeof *cluster->step);
    if (!in->succ_at || !in->succ || !in->op || !in->arg || !in->post || !in->cost_ns || !in->kernel_ns || !in->device_of || !in->width ||
        !in->is_block || !in->level || !in->n_at || !cluster->owner || !cluster->step)
        return false;
    link_members(in, m);
    place_members(in, m, cluster);
    if (!fill_members(in, m, cluster))
        return false;
    in->dag = (struct tgi_resident_dag){.n_tasks = n, .succ_at = in->succ_at, .succ = in->succ, .op = in->op,
                                        .arg = in->arg, .words = cluster->words, .cost_ns = in->cost_ns,
                                        .device_of = cluster->n_devices > 1 ? in->device_of : NULL};
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
