/* See resident_cluster.h.
 *
 * Every command gets a label: how often, on the way to it, something that was in a cluster was followed by something that is in
 * none, or in one of another device.  Labels only grow along edges, and grow on leaving a cluster, so what has the same label
 * on one device is convex, and clusters never wait for each other in a circle.  All of a label and a device goes
 * together, connected or not: a cluster begins when everything is there that any of its tasks needs from outside, which
 * costs the overlap of copies with the first tasks and saves kernels.
 *
 * Where clusters may be on several devices (resident_spread.h), labels grow on leaving a cluster alone, and copies between devices can be
 * in one.  What has the same label is convex as a whole.  If an edge inside it leads to another device it is one cluster, else
 * one for each device, between which there is no way then.  Whatever has a greater label comes after all that has a smaller one and
 * is in a cluster that is a whole: on the way to it something was left. */
#include "sched/resident_cluster.h"

#include <stdlib.h>
#include <string.h>

#include "graph/environment.h"
#include "graph/error.h"
#include "graph/vec.h"
#include "sched/resident_dynamic.h"
#include "sched/resident_inside.h"
#include "sched/resident_spread.h"

enum {
    LEAST_CALLS = 2,        /* one alone is as well off as a node, unless it makes tasks */
    COARSE_NS = 100 * 1000, /* of a warp: longer ones have a whole device as nodes */
    BLOCK_SHARED_BYTES = 2048, /* of a kernel with tasks a block wide, which is not the one that was asked for its room */
    MOST_LIMIT_MS = 86400000, /* a day */
    PATIENCE = 100          /* a wait may take as many times what the whole program is expected to take, */
};
static const uint64_t least_limit_ns = 10000000000u; /* and this in any case */

/* $TGRAPH_RESIDENT_PROGRAM.  Chosen: dynamic where tasks make tasks. */
enum program_kind { TGI_PROGRAM_CHOSEN, TGI_PROGRAM_STATIC, TGI_PROGRAM_DYNAMIC };

struct clusters {
    struct tgi_devices *ds;
    enum program_kind asked;
    const struct tgi_program *from;
    struct tgi_program *to;
    const struct tgi_cluster_wish *wish; /* NULL: all */
    struct tgi_clustering *what;
    struct tg_error *err;
    uint8_t *is_in;   /* by command: it can be in a cluster */
    uint8_t *spawns;  /* by command: it makes tasks */
    bool may_spread, some_spawn;
    bool some_block, some_thread; /* something is in a cluster only if it can be a block wide there, or a thread */
    enum tgi_width_wish width;
    uint8_t *spreads; /* by label: its cluster is on several devices; NULL: none is */
    uint8_t *is_kept_out; /* by command: a copy between devices that no cluster is worth while for; NULL: none is */
    float *cost_ns;   /* by command */
    struct tgi_command_times *times; /* by command, with a wish */
    struct tgi_cluster **made; /* by group, with a wish: planned already */
    uint32_t *label;  /* by command */
    uint32_t *order;  /* commands by label, those outside first */
    uint32_t *new_id; /* by command: in `to` */
    uint32_t *local;  /* by command: number in its cluster */
    uint32_t *n_calls; /* by group; 0: its commands stay single */
    uint32_t n_labels;
    uint32_t *mark;   /* by command of `to`: 1 + the group that comes after it */
    uint32_t *deps;   /* of a command at hand */
    uint32_t cap_deps;
};

static uint32_t device_of(const struct tgi_command *c) { return tgi_lane_device(c->lane); }
static uint32_t group_of(const struct clusters *k, uint32_t id)
{
    bool is_whole = k->spreads && k->spreads[k->label[id]];
    return k->label[id] * k->ds->n_devices + (is_whole ? 0 : device_of(&k->from->commands[id]));
}
static int no_memory(struct clusters *k) { return tgi_error_memory(k->err, "making a resident program"); }
static bool is_clustered(const struct clusters *k, uint32_t id) { return k->is_in[id] && k->n_calls[group_of(k, id)]; }

/* ---- Labels -------------------------------------------------------------------------------*/

static bool is_coarse(const struct tgi_command *c)
{
    uint64_t n = 1;
    for (int i = 0; c->kind == TGI_COMMAND_LAUNCH && i < 3; i++)
        n *= (uint64_t)c->launch.shape.grid[i] * c->launch.shape.block[i];
    return tgi_gain_is_coarse(n);
}

/* NULL: nothing. */
static const char *against_wish(struct clusters *k, uint32_t id, struct tgi_resident_call *call)
{
    const struct tgi_command *c = &k->from->commands[id];
    if (call->is_other)
        return "a library is called for it, whose last bits may be others";
    if (call->spawns)
        return "it makes tasks, and nobody knows what those take";
    k->wish->times(k->wish->user, c, &k->times[id]);
    if (k->times[id].body_ns > 0)
        call->cost_ns = k->times[id].body_ns;
    return is_coarse(c) ? "its kernel fills too much of the device for one warp" : NULL;
}

static bool can_be_in(struct clusters *k, uint32_t id)
{
    const struct tgi_command *c = &k->from->commands[id];
    struct tgi_resident_call call;
    const char *why = "it is no kernel";
    if (c->kind == TGI_COMMAND_NOTHING)
        return true;
    bool can = k->ds->ops->resident_call(k->ds, k->from, c, &call, &why);
    if (can && call.is_across && (!k->may_spread || (k->is_kept_out && k->is_kept_out[id]))) {
        can = false;
        why = "it is a copy to or from elsewhere";
    }
    if (can && k->wish)
        can = !(why = against_wish(k, id, &call));
    k->spawns[id] = can && call.spawns;
    k->some_spawn |= k->spawns[id];
    bool is_dynamic = k->asked == TGI_PROGRAM_DYNAMIC || (k->some_spawn && k->asked == TGI_PROGRAM_CHOSEN); /* its cluster, or may be */
    if (can && call.is_block && is_dynamic) {
        can = false;
        why = "it is a block wide, and dynamic programs have tasks a warp wide";
    }
    if (can && call.is_thread && is_dynamic) {
        can = false;
        why = "it is a thread wide, and dynamic programs have tasks a warp wide";
    }
    bool is_wide = can && (call.is_block || (call.can_block && k->width == TGI_WIDTH_BLOCK && !k->may_spread && !is_dynamic));
    if (can && call.cost_ns > COARSE_NS * (is_wide ? TGI_RESIDENT_RUN_WARPS : 1.0f) && !call.spawns) {
        can = false;
        why = "it is too long for a resident task";
    }
    k->some_block |= can && is_wide;
    k->some_thread |= can && call.is_thread;
    if (can)
        k->cost_ns[id] = call.cost_ns;
    else if (k->what->left == TG_NONE && (c->kind == TGI_COMMAND_LAUNCH || c->kind == TGI_COMMAND_COLLECT)) {
        k->what->left = id;
        k->what->why = why;
    }
    return can;
}

static void label_all(struct clusters *k)
{
    for (uint32_t i = 0; i < k->from->n; i++) {
        const struct tgi_command *c = &k->from->commands[i];
        k->is_in[i] = can_be_in(k, i);
        for (uint32_t d = 0; d < c->n_deps; d++) {
            uint32_t dep = k->from->deps[c->first_dep + d];
            bool stays = k->is_in[i] && (k->may_spread || device_of(c) == device_of(&k->from->commands[dep]));
            uint32_t label = k->label[dep] + (k->is_in[dep] && !stays);
            k->label[i] = label > k->label[i] ? label : k->label[i];
        }
        k->n_labels = k->label[i] >= k->n_labels ? k->label[i] + 1 : k->n_labels;
    }
}

/* A copy from one device to another that is in a cluster. */
static bool is_across(const struct clusters *k, uint32_t id)
{
    const struct tgi_command *c = &k->from->commands[id];
    return k->is_in[id] && c->kind == TGI_COMMAND_COPY && c->copy.from_node != c->copy.to_node;
}

/* Labels inside which an edge leads to another device; as many of them as *n_p.  False: no memory. */
static bool find_spreading(struct clusters *k, uint32_t *n_p)
{
    *n_p = 0;
    k->spreads = calloc((size_t)k->n_labels + 1, 1);
    for (uint32_t i = 0; k->spreads && i < k->from->n; i++) {
        const struct tgi_command *c = &k->from->commands[i];
        for (uint32_t d = 0; k->is_in[i] && d < c->n_deps; d++) {
            uint32_t dep = k->from->deps[c->first_dep + d];
            if (!k->is_in[dep] || k->label[dep] != k->label[i] || device_of(c) == device_of(&k->from->commands[dep]))
                continue;
            *n_p += !k->spreads[k->label[i]];
            k->spreads[k->label[i]] = 1;
        }
    }
    return k->spreads != NULL;
}

static void label_again(struct clusters *k)
{
    free(k->spreads);
    k->spreads = NULL;
    memset(k->label, 0, k->from->n * sizeof *k->label);
    k->n_labels = 1;
    k->what->left = TG_NONE;
    k->some_block = k->some_thread = false;
    label_all(k);
}

/* Labels as if it had not been asked for. */
static void do_not_spread(struct clusters *k, const char *why)
{
    k->what->not_spread = why;
    k->may_spread = false;
    label_again(k);
}

/* Copies between kernels that are nodes would be a cluster for which both devices have to come together: two nodes are better.  So where there
 * are not half as many kernels as copies between devices, these are kept out; *n_p: how many that were in.  False: no memory. */
static bool keep_out_copies(struct clusters *k, uint64_t *n_p)
{
    uint64_t *n_kernels = calloc(2 * ((size_t)k->n_labels + 1), sizeof *n_kernels), *n_copies = n_kernels + k->n_labels + 1;
    *n_p = 0;
    if (!k->is_kept_out)
        k->is_kept_out = calloc((size_t)k->from->n + 1, 1);
    for (uint32_t i = 0; n_kernels && k->is_kept_out && i < k->from->n; i++) {
        enum tgi_command_kind kind = k->from->commands[i].kind;
        n_kernels[k->label[i]] += k->is_in[i] && (kind == TGI_COMMAND_LAUNCH || kind == TGI_COMMAND_FILL);
        n_copies[k->label[i]] += is_across(k, i);
    }
    for (uint32_t i = 0; n_kernels && k->is_kept_out && i < k->from->n; i++)
        if (is_across(k, i) && n_kernels[k->label[i]] * 2 < n_copies[k->label[i]]) {
            k->is_kept_out[i] = 1;
            ++*n_p;
        }
    bool is_good = n_kernels && k->is_kept_out;
    free(n_kernels);
    return is_good;
}

/* is_asked: that clusters are on several devices where they can be. */
static int find_labels(struct clusters *k, bool is_asked)
{
    uint32_t n = 0;
    if (is_asked && k->asked == TGI_PROGRAM_DYNAMIC)
        k->what->not_spread = "dynamic programs are on one device";
    else if (is_asked) {
        int rc = tgi_spread_against(k->ds, k->from, &k->what->not_spread, k->err);
        if (rc)
            return rc;
    }
    k->may_spread = is_asked && !k->what->not_spread;
    label_all(k);
    if (k->some_spawn && (k->some_block || k->some_thread) && k->asked == TGI_PROGRAM_CHOSEN) /* now it is known that clusters may be dynamic */
        label_again(k);
    if (!k->may_spread)
        return 0;
    for (uint64_t n_out = 1; n_out;) { /* each time there are fewer left */
        if (!keep_out_copies(k, &n_out))
            return no_memory(k);
        if (n_out)
            label_again(k);
    }
    if (k->some_spawn && k->asked == TGI_PROGRAM_CHOSEN)
        do_not_spread(k, "a task makes tasks, which a program on several devices cannot have");
    else if (k->some_block)
        do_not_spread(k, "a task is a block wide, which a program on several devices cannot have");
    else if (!find_spreading(k, &n))
        return no_memory(k);
    else if (n == 0)
        do_not_spread(k, tgi_spread_nothing_across);
    return 0;
}

/* By label, those outside before those inside, which may come after them; else as they were. */
static bool sort_by_label(struct clusters *k)
{
    uint32_t *at = calloc(2 * (size_t)k->n_labels + 2, sizeof *at);
    if (!at)
        return false;
    for (uint32_t i = 0; i < k->from->n; i++)
        at[2 * k->label[i] + k->is_in[i] + 1]++;
    for (uint32_t r = 0; r < 2 * k->n_labels; r++)
        at[r + 1] += at[r];
    for (uint32_t i = 0; i < k->from->n; i++)
        k->order[at[2 * k->label[i] + k->is_in[i]]++] = i;
    free(at);
    return true;
}

static bool count_calls(struct clusters *k)
{
    size_t n_groups = (size_t)k->n_labels * k->ds->n_devices;
    uint8_t *spawns = calloc(n_groups + 1, 1);
    k->n_calls = spawns ? calloc(n_groups + 1, sizeof *k->n_calls) : NULL;
    for (uint32_t i = 0; k->n_calls && i < k->from->n; i++) {
        k->n_calls[group_of(k, i)] += k->is_in[i] && k->from->commands[i].kind != TGI_COMMAND_NOTHING;
        spawns[group_of(k, i)] |= k->spawns[i];
    }
    for (size_t g = 0; k->n_calls && g < n_groups; g++)
        k->n_calls[g] = k->n_calls[g] < LEAST_CALLS && !spawns[g] ? 0 : k->n_calls[g];
    free(spawns);
    return k->n_calls != NULL;
}

static void count_clusters(struct clusters *k)
{
    for (size_t g = 0; g < (size_t)k->n_labels * k->ds->n_devices; g++) {
        k->what->n_clusters += k->n_calls[g] != 0;
        k->what->n_calls += k->n_calls[g];
    }
    for (uint32_t i = 0; i < k->from->n; i++)
        k->what->n_left += k->from->commands[i].kind != TGI_COMMAND_NOTHING && !is_clustered(k, i);
}

/* ---- One cluster --------------------------------------------------------------------------*/

static bool is_member(const struct clusters *k, uint32_t id, uint32_t group) { return k->is_in[id] && group_of(k, id) == group; }

/* A wish weighs what is planned, and what is found as it runs is found on one device. */
static bool is_dynamic(const struct clusters *k, const struct tgi_inside *in, const struct tgi_cluster *cluster)
{
    return !k->wish && cluster->n_devices == 1 && (k->asked == TGI_PROGRAM_DYNAMIC || (in->n_spawn_words && k->asked == TGI_PROGRAM_CHOSEN));
}

/* $TGRAPH_RESIDENT_LIMIT_MS, else what nothing that goes on should take. */
static int find_limit(const struct tgi_resident_program *p, uint64_t *limit_ns_p, struct tg_error *err)
{
    double long_ns = p->makespan_ns * PATIENCE;
    uint64_t ms = 0;
    int rc = tgi_environment_number("TGRAPH_RESIDENT_LIMIT_MS", MOST_LIMIT_MS, &ms, err);
    if (rc == 0)
        *limit_ns_p = ms ? ms * 1000000 : long_ns > (double)least_limit_ns ? (uint64_t)long_ns : least_limit_ns;
    return rc;
}

static int plan_dynamic(struct clusters *k, const struct tgi_inside *in, const struct tgi_resident_room *room, struct tgi_cluster *cluster)
{
    uint32_t n = (in->n_widest + room->n_workers_each - 1) / room->n_workers_each;
    if (in->n_must_block)
        return tgi_error(k->err, TG_E_UNSUPPORTED, "dynamic resident program: %u tasks are a block wide", in->n_must_block);
    bool is_wide = in->n_spawn_words || n > room->n_blocks; /* where tasks make tasks any worker may come to have one */
    return tgi_resident_dynamic_plan(&in->dag, is_wide ? room->n_blocks : n, room->n_workers_each, in->n_spawn_words, &cluster->program, k->err);
}

static const struct tgi_resident_costs *costs_of(const struct clusters *k)
{
    static const struct tgi_resident_costs usual = TGI_RESIDENT_COSTS_INIT;
    return k->wish ? &k->wish->costs->tasks : &usual;
}

/* All the blocks that there are for POSTs, which are better apart. */
static uint32_t blocks_for_posts(const struct tgi_inside *in, const struct tgi_resident_room *room)
{
    uint32_t n = in->n_posts / TGI_RESIDENT_POSTS_AT_ONCE;
    n = ((n > in->n_widest ? n : in->n_widest) + room->n_workers_each - 1) / room->n_workers_each;
    return n < room->n_blocks ? n : room->n_blocks;
}

/* As many blocks as the widest level has use for. */
static int plan_static(struct clusters *k, struct tgi_inside *in, const struct tgi_resident_room *room, struct tgi_cluster *cluster)
{
    if (!in->n_must_block && k->width != TGI_WIDTH_BLOCK && !tgi_inside_post(in, cluster))
        return no_memory(k);
    enum tgi_width_wish width = room->has_blocks || k->width == TGI_WIDTH_BLOCK ? k->width : TGI_WIDTH_WARP;
    uint32_t n_blocks = in->n_posts ? blocks_for_posts(in, room) : tgi_inside_widen(in, width, room->n_blocks, room->n_workers_each);
    uint32_t taken = in->dag.is_block ? BLOCK_SHARED_BYTES : 0;
    struct tgi_resident_shape shape = {n_blocks, room->n_workers_each, room->shared_bytes - taken, TGI_RESIDENT_WARP};
    int rc = tgi_resident_plan(&in->dag, &shape, costs_of(k), &cluster->program, k->err);
    return rc ? rc : tgi_resident_check(&in->dag, cluster->program, k->err);
}

static int plan(struct clusters *k, struct tgi_inside *in, struct tgi_cluster *cluster)
{
    struct tgi_resident_room room;
    int rc;
    if (cluster->n_devices > 1)
        rc = tgi_spread_plan(k->ds, &in->dag, in->level, costs_of(k), cluster, k->err);
    else if ((rc = k->ds->ops->resident_room(k->ds, cluster->device[0], &room, k->err)) == 0)
        rc = is_dynamic(k, in, cluster) ? plan_dynamic(k, in, &room, cluster) : plan_static(k, in, &room, cluster);
    return rc ? rc : find_limit(cluster->program, &cluster->limit_ns, k->err);
}

/* The command that stands for the group, after all that its members come after. */
static int add_cluster(struct clusters *k, const uint32_t *member, uint32_t n, uint32_t group, struct tgi_cluster *cluster)
{
    struct tgi_command c = {.kind = TGI_COMMAND_RESIDENT, .lane = k->from->commands[member[0]].lane, .owner = UINT64_MAX,
                            .cluster = cluster};
    uint32_t n_deps = 0, id;
    for (uint32_t t = 0; t < n; t++) {
        const struct tgi_command *m = &k->from->commands[member[t]];
        for (uint32_t d = 0; d < m->n_deps; d++) {
            uint32_t dep = k->from->deps[m->first_dep + d];
            if (is_member(k, dep, group) || k->mark[k->new_id[dep]] == 1 + group)
                continue;
            if (!tgi_vec_reserve(&k->deps, &k->cap_deps, (uint64_t)n_deps + 1, sizeof *k->deps))
                return no_memory(k);
            k->mark[k->new_id[dep]] = 1 + group;
            k->deps[n_deps++] = k->new_id[dep];
        }
    }
    if (cluster->n_devices > 1) {
        uint32_t devices = 0;
        for (uint32_t i = 0; i < cluster->n_devices; i++)
            devices |= 1u << cluster->device[i];
        c.lane = tgi_lane_of(cluster->device[0], 0);
        k->what->n_spread++;
        if (!tgi_spread_come_alone(k->to, devices, &k->deps, &n_deps, &k->cap_deps))
            return no_memory(k);
    }
    int rc = tgi_program_add(k->to, &c, k->deps, n_deps, &id, k->err);
    for (uint32_t t = 0; rc == 0 && t < n; t++)
        k->new_id[member[t]] = id;
    return rc;
}

/* *gain_p: with a wish. */
static int make_cluster(struct clusters *k, const uint32_t *member, uint32_t n, struct tgi_cluster **cluster_p,
                        struct tgi_gain *gain_p)
{
    struct tgi_cluster *cluster = tgi_cluster_new();
    struct tgi_members members = {k->ds, k->from, member, n, k->cost_ns, k->times, k->local};
    struct tgi_inside in = {.width = 0};
    if (!cluster)
        return no_memory(k);
    int rc = tgi_inside_init(&in, &members, cluster) ? plan(k, &in, cluster) : no_memory(k);
    if (rc == 0 && k->wish)
        rc = tgi_gain_find(tgi_inside_apart(&in), in.kernel_ns, in.n_timed, cluster->program->makespan_ns, cluster->n_devices, k->wish->costs, gain_p, k->err);
    tgi_inside_fini(&in);
    if (rc) {
        tgi_cluster_release(cluster);
        return rc;
    }
    *cluster_p = cluster;
    return 0;
}

static int contract(struct clusters *k, const uint32_t *member, uint32_t n, uint32_t group)
{
    struct tgi_cluster *cluster = k->wish ? k->made[group] : NULL;
    int rc = cluster ? 0 : make_cluster(k, member, n, &cluster, NULL);
    if (rc)
        return rc;
    rc = add_cluster(k, member, n, group, cluster);
    if (!k->wish)
        tgi_cluster_release(cluster);
    return rc;
}

/* ---- All ----------------------------------------------------------------------------------*/

static int add_single(struct clusters *k, uint32_t id, uint32_t serial)
{
    const struct tgi_command *c = &k->from->commands[id];
    uint32_t n_deps = 0;
    if (!tgi_vec_reserve(&k->deps, &k->cap_deps, (uint64_t)c->n_deps + 1, sizeof *k->deps))
        return no_memory(k);
    for (uint32_t d = 0; d < c->n_deps; d++) { /* several of them may be one by now */
        uint32_t dep = k->new_id[k->from->deps[c->first_dep + d]];
        if (k->mark[dep] != serial)
            k->deps[n_deps++] = dep;
        k->mark[dep] = serial;
    }
    return tgi_program_add(k->to, c, k->deps, n_deps, &k->new_id[id], k->err);
}

/* The members of a group at the beginning of the list, moved to a list of their own. */
static uint32_t gather(const struct clusters *k, const uint32_t *from, uint32_t n, uint32_t *member)
{
    uint32_t group = group_of(k, from[0]), n_members = 0;
    for (uint32_t i = 0; i < n && k->label[from[i]] == k->label[from[0]]; i++)
        if (is_member(k, from[i], group))
            member[n_members++] = from[i];
    return n_members;
}

/* A cluster that gains too little is none: its commands stay single. */
static int weigh(struct clusters *k, const uint32_t *member, uint32_t n, uint32_t group)
{
    struct tgi_devices *ds = k->ds;
    struct tgi_gain gain;
    int rc = make_cluster(k, member, n, &k->made[group], &gain);
    if (rc)
        return rc;
    bool is_sure = tgi_gain_is_sure(&gain), is_hoped = is_sure || tgi_gain_is_hoped(&gain);
    tgi_gain_add(&k->what->possible, &gain);
    if (is_sure)
        tgi_gain_add(&k->what->sure, &gain);
    if (is_hoped) {
        tgi_gain_add(&k->what->hoped, &gain);
        k->what->is_compiled &= !ds->ops->resident_is_compiled || ds->ops->resident_is_compiled(ds, k->made[group]->device[0], k->made[group]);
    }
    if (is_sure || (is_hoped && k->wish->takes_hoped))
        return 0;
    tgi_cluster_release(k->made[group]);
    k->made[group] = NULL;
    k->n_calls[group] = 0;
    return 0;
}

static int weigh_all(struct clusters *k)
{
    uint32_t n = k->from->n, *member = malloc(((size_t)n + 1) * sizeof *member);
    k->made = calloc((size_t)k->n_labels * k->ds->n_devices + 1, sizeof *k->made);
    int rc = member && k->made ? 0 : no_memory(k);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        uint32_t id = k->order[i], group = group_of(k, id);
        if (is_clustered(k, id) && !k->made[group])
            rc = weigh(k, member, gather(k, k->order + i, n - i, member), group);
    }
    free(member);
    return rc;
}

static int add_all(struct clusters *k)
{
    uint32_t n = k->from->n, serial = k->n_labels * k->ds->n_devices, first, *member = malloc(((size_t)n + 1) * sizeof *member);
    int rc = member ? tgi_program_add_words(k->to, k->from->words, k->from->n_words, &first, k->err) : no_memory(k);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        uint32_t id = k->order[i];
        if (!is_clustered(k, id))
            rc = add_single(k, id, ++serial);
        else if (k->new_id[id] == TG_NONE)
            rc = contract(k, member, gather(k, k->order + i, n - i, member), group_of(k, id));
    }
    free(member);
    return rc;
}

static bool clusters_init(struct clusters *k)
{
    size_t n = (size_t)k->from->n + 1;
    k->is_in = calloc(n, 1);
    k->spawns = calloc(n, 1);
    k->cost_ns = calloc(n, sizeof *k->cost_ns);
    k->times = k->wish ? calloc(n, sizeof *k->times) : NULL;
    k->label = calloc(n, sizeof *k->label);
    k->order = malloc(n * sizeof *k->order);
    k->new_id = malloc(n * sizeof *k->new_id);
    k->local = calloc(n, sizeof *k->local);
    k->mark = calloc(n, sizeof *k->mark);
    if (k->new_id)
        memset(k->new_id, 0xff, n * sizeof *k->new_id); /* TG_NONE */
    return k->is_in && k->spawns && k->cost_ns && (k->times || !k->wish) && k->label && k->order && k->new_id && k->local && k->mark;
}

static void clusters_fini(struct clusters *k)
{
    free(k->is_in);
    free(k->spawns);
    free(k->cost_ns);
    free(k->times);
    for (size_t g = 0; k->made && g < (size_t)k->n_labels * k->ds->n_devices; g++)
        if (k->made[g])
            tgi_cluster_release(k->made[g]);
    free(k->made);
    free(k->spreads);
    free(k->is_kept_out);
    free(k->label);
    free(k->order);
    free(k->new_id);
    free(k->local);
    free(k->n_calls);
    free(k->mark);
    free(k->deps);
}

/* What the environment asks for. */
static int find_wishes(struct clusters *k)
{
    static const char *const programs[] = {[TGI_PROGRAM_CHOSEN] = "auto", [TGI_PROGRAM_STATIC] = "static", [TGI_PROGRAM_DYNAMIC] = "dynamic", NULL};
    static const char *const widths[] = {[TGI_WIDTH_CHOSEN] = "auto", [TGI_WIDTH_WARP] = "warp", [TGI_WIDTH_BLOCK] = "block", NULL};
    int program = tgi_environment_word("TGRAPH_RESIDENT_PROGRAM", programs, TGI_PROGRAM_CHOSEN, k->err);
    int width = program < 0 ? program : tgi_environment_word("TGRAPH_RESIDENT_WIDTH", widths, TGI_WIDTH_CHOSEN, k->err);
    if (width < 0)
        return width;
    k->asked = (enum program_kind)program;
    k->width = (enum tgi_width_wish)width;
    return 0;
}

int tgi_resident_cluster(struct tgi_devices *ds, const struct tgi_program *from, struct tgi_program *to,
                         const struct tgi_cluster_wish *wish, struct tgi_clustering *what_p, struct tg_error *err)
{
    struct clusters k = {.ds = ds, .from = from, .to = to, .wish = wish, .what = what_p, .err = err, .n_labels = 1};
    enum tgi_spread spread = TGI_SPREAD_OFF;
    int rc = find_wishes(&k);
    if (rc == 0)
        rc = tgi_spread_find_asked(&spread, err);
    if (rc)
        return rc;
    if (spread == TGI_SPREAD_USUAL && wish && !wish->may_spread)
        spread = TGI_SPREAD_OFF;
    *what_p = (struct tgi_clustering){.left = TG_NONE, .is_compiled = true, .why = "there are not two tasks on a device that could be in one"};
    for (uint32_t i = 0; i < from->n; i++)
        if (from->commands[i].kind == TGI_COMMAND_DECIDE) {
            what_p->left = i;
            what_p->why = "a device decides about its rounds";
            return 0;
        }
    if (!ds->ops->resident_call)
        return tgi_error(err, TG_E_UNSUPPORTED, "there are no resident programs on such devices");
    if (!clusters_init(&k))
        rc = no_memory(&k);
    else {
        rc = find_labels(&k, spread != TGI_SPREAD_OFF);
        if (rc == 0)
            rc = sort_by_label(&k) && count_calls(&k) ? 0 : no_memory(&k);
        if (rc == 0 && wish)
            rc = weigh_all(&k);
        if (rc == 0)
            count_clusters(&k);
    }
    if (rc == 0 && what_p->n_clusters)
        rc = add_all(&k);
    if (k.may_spread && !what_p->n_spread) /* points alone are no cluster */
        what_p->not_spread = tgi_spread_nothing_across;
    const char *why = what_p->not_spread;
    if (spread == TGI_SPREAD_USUAL && (wish || why == tgi_spread_one_device || why == tgi_spread_nothing_across))
        what_p->not_spread = NULL;
    clusters_fini(&k);
    if (rc)
        tgi_program_fini(to);
    return rc;
}
