/* Clusters in programs of commands: whatever the program, what comes of it has every command once, in an order that keeps every
 * dependency, and what is in a cluster is proved to be planned right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/resident_cluster.h"
#include "sched/resident_plan.h"
#include "tests/random_graph.h"

/* Devices for which a fill can be in a cluster, with its own number as its word, and nothing else can, or launches as well. */
static uint32_t n_room_calls;
static bool takes_launches;
static bool resident_call(struct tgi_devices *ds, const struct tgi_program *p, const struct tgi_command *c,
                          struct tgi_resident_call *call, const char **why_p)
{
    (void)ds, (void)p;
    *why_p = "it is no fill";
    if (takes_launches && c->kind == TGI_COMMAND_LAUNCH) {
        *call = (struct tgi_resident_call){.body = 7, .cost_ns = 100, .is_other = c->launch.n_args == 1, .spawns = c->launch.n_args == 2};
        return true;
    }
    if (c->kind == TGI_COMMAND_COPY && c->copy.from_node != c->copy.to_node) {
        *call = (struct tgi_resident_call){.body = 7, .cost_ns = 100, .is_across = true};
        return true;
    }
    if (c->kind != TGI_COMMAND_FILL)
        return false;
    *call = (struct tgi_resident_call){.body = 7, .n_words = 2, .cost_ns = c->fill.dtype == TG_F64 ? 1e9f : 100};
    call->words[0] = c->fill.address;
    call->words[1] = c->owner;
    *why_p = NULL;
    return true;
}

static int resident_room(struct tgi_devices *ds, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err)
{
    (void)ds, (void)device, (void)err;
    n_room_calls++;
    *room_p = (struct tgi_resident_room){4, 8, tgi_resident_shared_bytes(8, 64, 64) + 4096, false};
    return 0;
}

static bool resident_spreads(struct tgi_devices *ds, const uint32_t *devices, uint32_t n, const char **why_p)
{
    (void)ds;
    for (uint32_t i = 1; i < n; i++)
        assert_true(devices[i - 1] < devices[i]);
    *why_p = NULL;
    return true;
}

static const struct tgi_device_ops ops = {.size = sizeof ops, .kind = "fake", .resident_call = resident_call,
                                          .resident_room = resident_room, .resident_spreads = resident_spreads};
static const struct tgi_device_ops bare_ops = {.size = sizeof ops, .kind = "bare"};

static uint32_t add(struct tgi_program *p, enum tgi_command_kind kind, uint32_t device, const uint32_t *deps, uint32_t n)
{
    struct tgi_command c = {.kind = kind, .lane = tgi_lane_of(device, 0), .owner = p->n};
    uint32_t id;
    if (kind == TGI_COMMAND_FILL) {
        c.fill.address = p->n;
        c.fill.dtype = TG_U64;
    }
    assert_int_equal(tgi_program_add(p, &c, deps, n, &id, NULL), 0);
    return id;
}

static struct tgi_program draw(struct dice *d, uint32_t n_devices)
{
    struct tgi_program p = {0};
    uint32_t n = 1 + roll(d, 120), fine = roll(d, 10);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t deps[6], n_deps = 0, reach = 1 + roll(d, 30);
        for (uint32_t k = roll(d, 6); k > 0 && i; k--) {
            uint32_t dep = i - 1 - roll(d, reach < i ? reach : i);
            bool is_new = true;
            for (uint32_t j = 0; j < n_deps; j++)
                is_new &= deps[j] != dep;
            if (is_new)
                deps[n_deps++] = dep;
        }
        enum tgi_command_kind kind = roll(d, 10) < fine ? TGI_COMMAND_FILL : roll(d, 6) == 0 ? TGI_COMMAND_NOTHING : TGI_COMMAND_COPY;
        add(&p, kind, roll(d, n_devices), deps, n_deps);
    }
    return p;
}

/* ---- What has to hold -----------------------------------------------------------------------*/

/* at: by command of the original, 1 + the command of the new program that it is in. */
static void note(uint32_t *at, uint64_t owner, uint32_t where, uint32_t n)
{
    assert_true(owner < n);
    assert_int_equal(at[owner], 0); /* once */
    at[owner] = where;
}

/* Every word of a cluster is its task's. */
static void look_inside(const struct tgi_cluster *c, uint32_t *at, uint32_t where, uint32_t n)
{
    const struct tgi_resident_program *p = c->program;
    uint32_t n_calls = 0;
    for (uint32_t s = 0; s < p->n_tasks; s++) {
        const struct tgi_resident_task *d = &p->tasks[s];
        uint64_t owner = c->owner[d->id];
        note(at, owner, where, n);
        if (TGI_HEAD_OP(d->head) != TGI_RESIDENT_CALL)
            continue;
        n_calls++;
        assert_int_equal(TGI_CALL_BODY(d->in[0]), 7);
        assert_int_equal(TGI_CALL_N_WORDS(d->in[0]), 2);
        assert_int_equal(c->words[d->in[1]], owner); /* address and owner are the same number here */
        assert_int_equal(c->words[d->in[1] + 1], owner);
    }
    assert_int_equal(n_calls, c->n_calls);
    assert_true(n_calls >= 2);
}

/* Executes the workers' slots in some order that the tables allow, and sees that every edge of the original is kept. */
static void execute_inside(const struct tgi_program *from, const struct tgi_cluster *c, struct dice *d)
{
    const struct tgi_resident_program *p = c->program;
    uint32_t *next = malloc((p->n_workers + 1u) * sizeof *next), *done_at = calloc(from->n + 1u, sizeof *done_at), n_done = 0;
    uint32_t *seen = calloc(p->n_counters + 1u, sizeof *seen), *far = calloc(p->n_far_counters + 1u, sizeof *far);
    uint8_t *far_cell = calloc(p->n_far_cells + 1u, 1);
    uint8_t *is_member = calloc(from->n + 1u, 1), *cell = calloc(p->n_cells + 1u, 1);
    uint8_t *shared_cell = calloc(p->n_blocks * p->n_shared_cells + 1u, 1);
    uint32_t *shared = calloc(p->n_blocks * p->n_shared_counters + 1u, sizeof *shared);
    memcpy(next, p->first, (p->n_workers + 1u) * sizeof *next);
    for (uint32_t t = 0; t < p->n_tasks; t++)
        is_member[c->owner[t]] = 1;
    for (uint32_t idle = 0; n_done < p->n_tasks; idle++) {
        uint32_t w = roll(d, p->n_workers), block = w / p->n_workers_each;
        assert_true(idle < 1000000);
        if (next[w] == p->first[w + 1])
            continue;
        const struct tgi_resident_task *t = &p->tasks[next[w]];
        bool is_ready = true;
        uint32_t wait = TGI_HEAD_WAIT(t->head);
        bool is_far = (t->head & TGI_HEAD_WAITS_FAR) != 0;
        if (wait == TGI_WAIT_COUNTER)
            is_ready = (is_far ? far : seen)[t->wait] == t->n_wait;
        if (wait == TGI_WAIT_SHARED_COUNTER)
            is_ready = shared[block * p->n_shared_counters + t->wait] == t->n_wait;
        for (uint32_t k = 0; k < t->n_wait && wait >= TGI_WAIT_CELLS; k++)
            is_ready &= wait == TGI_WAIT_CELLS ? (is_far ? far_cell : cell)[t->wait + k] : shared_cell[block * p->n_shared_cells + t->wait + k];
        if (!is_ready)
            continue;
        const struct tgi_command *o = &from->commands[c->owner[t->id]];
        for (uint32_t k = 0; k < o->n_deps; k++)
            if (is_member[from->deps[o->first_dep + k]])
                assert_true(done_at[from->deps[o->first_dep + k]]);
        done_at[c->owner[t->id]] = ++n_done;
        uint32_t n_out = TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST ? t->out[1] : TGI_HEAD_N_OUT(t->head);
        for (uint32_t k = 0; k < n_out; k++) {
            uint32_t word = TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST ? p->outs[t->out[0] + k] : t->out[k], i = TGI_OUT_INDEX(word);
            switch (TGI_OUT_KIND(word)) {
            case TGI_OUT_CELL:
                cell[i] = 1;
                break;
            case TGI_OUT_SHARED_CELL:
                shared_cell[block * p->n_shared_cells + i] = 1;
                break;
            case TGI_OUT_SHARED_COUNTER:
                shared[block * p->n_shared_counters + i]++;
                break;
            case TGI_OUT_FAR_COUNTER:
                far[TGI_FAR_INDEX(word)]++;
                break;
            case TGI_OUT_FAR_CELL:
                far_cell[TGI_FAR_INDEX(word)] = 1;
                break;
            default:
                seen[i]++;
            }
        }
        next[w]++;
        idle = 0;
    }
    free(next);
    free(done_at);
    free(seen);
    free(far);
    free(far_cell);
    free(is_member);
    free(cell);
    free(shared_cell);
    free(shared);
}

/* Every task is on the device of its command. */
static void expect_places(const struct tgi_program *from, const struct tgi_command *c)
{
    const struct tgi_cluster *one = c->cluster;
    uint32_t n_each = one->program->n_workers / one->n_devices;
    assert_int_equal(one->device[0], tgi_lane_device(c->lane));
    assert_int_equal(one->program->n_devices, one->n_devices);
    for (uint32_t w = 0; w < one->program->n_workers; w++)
        for (uint32_t s = one->program->first[w]; s < one->program->first[w + 1]; s++)
            assert_int_equal(tgi_lane_device(from->commands[one->owner[one->program->tasks[s].id]].lane), one->device[w / n_each]);
}

static void check(const struct tgi_program *from, const struct tgi_program *to, const struct tgi_clustering *what, struct dice *d)
{
    uint32_t *at = calloc(from->n + 1u, sizeof *at);
    uint32_t n_clusters = 0, n_spread = 0;
    uint64_t n_calls = 0;
    for (uint32_t i = 0; i < to->n; i++) {
        const struct tgi_command *c = &to->commands[i];
        for (uint32_t k = 0; k < c->n_deps; k++)
            assert_true(to->deps[c->first_dep + k] < i);
        if (c->kind != TGI_COMMAND_RESIDENT) {
            note(at, c->owner, i + 1, from->n);
            continue;
        }
        n_clusters++;
        n_calls += c->cluster->n_calls;
        look_inside(c->cluster, at, i + 1, from->n);
        execute_inside(from, c->cluster, d);
        expect_places(from, c);
        n_spread += c->cluster->n_devices > 1;
    }
    assert_int_equal(n_clusters, what->n_clusters);
    assert_int_equal(n_spread, what->n_spread);
    assert_int_equal(n_calls, what->n_calls);
    for (uint32_t i = 0; i < from->n; i++) {
        assert_int_not_equal(at[i], 0);
        for (uint32_t k = 0; k < from->commands[i].n_deps; k++)
            assert_true(at[from->deps[from->commands[i].first_dep + k]] <= at[i]); /* the same: both in one cluster */
    }
    free(at);
}

static bool has_code_on(const struct tgi_command *c, const struct tgi_cluster *on)
{
    bool does = false;
    for (uint32_t d = 0; d < on->n_devices; d++) {
        bool is_here = tgi_lane_device(c->lane) == on->device[d];
        for (uint32_t i = 0; c->kind == TGI_COMMAND_RESIDENT && i < c->cluster->n_devices; i++)
            is_here |= c->cluster->device[i] == on->device[d];
        does |= is_here && (c->kind == TGI_COMMAND_FILL || c->kind == TGI_COMMAND_LAUNCH || c->kind == TGI_COMMAND_RESIDENT);
    }
    return does;
}

/* Nothing is beside a cluster that is on several devices.  after: as below. */
static void expect_alone(const struct tgi_program *to, const uint8_t *after)
{
    for (uint32_t i = 0; i < to->n; i++)
        for (uint32_t k = 0; k < to->n && to->commands[i].kind == TGI_COMMAND_RESIDENT && to->commands[i].cluster->n_devices > 1; k++)
            assert_true(i == k || !has_code_on(&to->commands[k], to->commands[i].cluster) || after[(size_t)i * to->n + k] ||
                        after[(size_t)k * to->n + i]);
}

/* Whether `i` comes after `k` by dependencies of the new program, one command each. */
static void expect_kept_edges(const struct tgi_program *from, const struct tgi_program *to)
{
    uint32_t *at = calloc(from->n + 1u, 4);
    uint8_t *after = calloc((size_t)to->n * to->n + 1, 1);
    for (uint32_t i = 0; i < to->n; i++) {
        const struct tgi_command *c = &to->commands[i];
        if (c->kind == TGI_COMMAND_RESIDENT)
            for (uint32_t k = 0; k < c->cluster->program->n_tasks; k++)
                at[c->cluster->owner[k]] = i;
        else
            at[c->owner] = i;
        for (uint32_t k = 0; k < c->n_deps; k++) {
            uint32_t dep = to->deps[c->first_dep + k];
            after[(size_t)i * to->n + dep] = 1;
            for (uint32_t j = 0; j < dep; j++)
                after[(size_t)i * to->n + j] |= after[(size_t)dep * to->n + j];
        }
    }
    for (uint32_t i = 0; i < from->n; i++)
        for (uint32_t k = 0; k < from->commands[i].n_deps; k++) {
            uint32_t dep = from->deps[from->commands[i].first_dep + k];
            assert_true(at[dep] == at[i] || after[(size_t)at[i] * to->n + at[dep]]);
        }
    expect_alone(to, after);
    free(at);
    free(after);
}

/* ---- Tests --------------------------------------------------------------------------------*/

/* By owner, how long its body takes inside a kernel: some are coarse. */
static void random_times(void *user, const struct tgi_command *c, struct tgi_command_times *times_p)
{
    times_p->body_ns = mix64(c->owner + *(uint64_t *)user) % 40 ? 50 : 90000;
}

static void fine_times(void *user, const struct tgi_command *c, struct tgi_command_times *times_p)
{
    (void)user, (void)c;
    times_p->body_ns = 50;
}

static void see_program(const struct tgi_program *from, const struct tgi_program *to, const struct tgi_clustering *what, struct dice *d)
{
    struct tgi_program narrow = {0};
    struct tg_error err;
    if (!what->n_clusters)
        return;
    check(from, to, what, d);
    expect_kept_edges(from, to);
    MUST(tgi_program_narrow(to, 4, &narrow, &err)); /* clusters are shared by both */
    expect_kept_edges(from, &narrow);
    assert_true(tgi_program_is_alike(to, to));
    tgi_program_fini(&narrow);
}

/* All that can be clusters, and those of them that gain. */
static void random_programs_keep_every_dependency(void **state)
{
    uint64_t first = test_seed(1), n = ROUNDS(2000), n_clusters = 0, n_chosen = 0, n_some = 0;
    const struct tgi_gain_costs costs = {156, 787, 500, 4100, TGI_RESIDENT_COSTS_INIT};
    (void)state;
    setenv("TGRAPH_RESIDENT_SPREAD", "off", 1); /* on one device each, so that they can be counted */
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        uint32_t n_devices = 1 + roll(&d, 3);
        struct tgi_devices ds = {.ops = &ops, .n_devices = n_devices};
        struct tgi_program from = draw(&d, n_devices), to = {0}, chosen = {0};
        struct tgi_cluster_wish wish = {.takes_hoped = roll(&d, 2), .costs = &costs, .times = random_times, .user = &seed};
        struct tgi_clustering all, what;
        struct tg_error err;
        MUST(tgi_resident_cluster(&ds, &from, &to, NULL, &all, &err));
        see_program(&from, &to, &all, &d);
        assert_true((to.n != 0) == (all.n_clusters != 0));
        MUST(tgi_resident_cluster(&ds, &from, &chosen, &wish, &what, &err));
        see_program(&from, &chosen, &what, &d);
        assert_true((chosen.n != 0) == (what.n_clusters != 0) && what.n_clusters <= all.n_clusters);
        assert_true(what.n_calls == (wish.takes_hoped ? what.hoped : what.sure).n_tasks);
        n_clusters += all.n_clusters;
        n_chosen += what.n_clusters;
        n_some += what.n_clusters && what.n_clusters < all.n_clusters;
        tgi_program_fini(&to);
        tgi_program_fini(&chosen);
        tgi_program_fini(&from);
    }
    unsetenv("TGRAPH_RESIDENT_SPREAD");
    assert_true(n_clusters > n / 2 && n_chosen > n / 4 && n_some > n / 20);
}

/* All that can be, and those that gain: then only if whoever weighs them may, or if it is asked for. */
static void clusters_on_several_devices_keep_every_dependency(void **state)
{
    uint64_t first = test_seed(1), n = ROUNDS(2000), n_spread = 0, n_several = 0, n_beside = 0, n_weighed = 0;
    const struct tgi_gain_costs costs = TGI_GAIN_COSTS_INIT;
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        uint32_t n_devices = 2 + roll(&d, 4);
        struct tgi_devices ds = {.ops = &ops, .n_devices = n_devices};
        struct tgi_program from = draw(&d, n_devices), to = {0};
        struct tgi_cluster_wish wish = {.takes_hoped = true, .costs = &costs, .times = fine_times};
        struct tgi_clustering what;
        struct tg_error err;
        bool is_asked = roll(&d, 2), is_off = !is_asked && roll(&d, 4) == 0;
        if (is_asked)
            setenv("TGRAPH_RESIDENT_SPREAD", "on", 1);
        int rc = tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err);
        MUST(rc);
        see_program(&from, &to, &what, &d);
        assert_true(!what.n_spread == !!what.not_spread || (!is_asked && !what.n_spread));
        n_spread += what.n_spread;
        n_several += what.n_spread > 1;
        n_beside += what.n_spread && what.n_clusters > what.n_spread;
        tgi_program_fini(&to);
        wish.may_spread = !is_asked && roll(&d, 2);
        if (is_off)
            setenv("TGRAPH_RESIDENT_SPREAD", "off", 1);
        rc = tgi_resident_cluster(&ds, &from, &to, &wish, &what, &err);
        unsetenv("TGRAPH_RESIDENT_SPREAD");
        MUST(rc);
        see_program(&from, &to, &what, &d);
        assert_true(is_asked ? !what.n_spread == !!what.not_spread : !what.not_spread);
        assert_true(what.n_spread == 0 || is_asked || (wish.may_spread && !is_off));
        n_weighed += what.n_spread > 0;
        tgi_program_fini(&to);
        tgi_program_fini(&from);
    }
    assert_true(n_spread > n / 2 && n_several > n / 20 && n_beside > n / 20 && n_weighed > n / 8);
}

/* A fine cluster, something that cannot be in one, and a coarse cluster. */
static void each_cluster_is_chosen_by_itself(void **state)
{
    const struct tgi_gain_costs costs = TGI_GAIN_COSTS_INIT;
    struct tgi_devices ds = {.ops = &ops, .n_devices = 1};
    struct tgi_program from = {0}, to = {0};
    struct tgi_clustering what;
    struct tg_error err;
    uint32_t wide[200], between;
    (void)state;
    for (uint32_t i = 0; i < 200; i++)
        wide[i] = add(&from, TGI_COMMAND_FILL, 0, NULL, 0);
    between = add(&from, TGI_COMMAND_COPY, 0, wide, 200);
    for (uint32_t i = 0, dep = between; i < 4; i++)
        dep = add(&from, TGI_COMMAND_FILL, 0, &dep, 1);
    struct tgi_cluster_wish wish = {.costs = &costs, .times = fine_times};
    MUST(tgi_resident_cluster(&ds, &from, &to, &wish, &what, &err));
    assert_int_equal(what.n_clusters, 1);
    assert_int_equal(what.n_calls, 200);
    assert_int_equal(what.n_left, 5);
    assert_true(what.possible.n_tasks == 204 && what.sure.n_tasks == 200 && what.hoped.n_tasks == 204);
    assert_true(what.is_compiled);
    tgi_program_fini(&to);
    wish.takes_hoped = true;
    MUST(tgi_resident_cluster(&ds, &from, &to, &wish, &what, &err));
    assert_int_equal(what.n_clusters, 2);
    tgi_program_fini(&to);
    tgi_program_fini(&from);
}

/* Whoever asked for resident kernels gets them; who left it open gets the same bits and no kernel in the place of a whole device's. */
static void a_wish_leaves_out_what_it_cannot_weigh(void **state)
{
    const struct tgi_gain_costs costs = TGI_GAIN_COSTS_INIT;
    struct tgi_devices ds = {.ops = &ops, .n_devices = 1};
    struct tgi_clustering what;
    struct tg_error err;
    (void)state;
    takes_launches = true;
    static const char *const why[] = {"fills too much of the device", "a library is called", "it makes tasks"};
    for (uint32_t kind = 0; kind < 3; kind++) { /* what resident_call() takes it for */
        struct tgi_program from = {0}, to = {0};
        struct tgi_cluster_wish wish = {.costs = &costs, .times = fine_times};
        for (uint32_t i = 0; i < 200; i++) {
            uint32_t id = add(&from, TGI_COMMAND_LAUNCH, 0, NULL, 0);
            struct tgi_command *c = &from.commands[id];
            c->launch.shape = (struct tgi_shape){{kind ? 1 : 64, 1, 1}, {128, 1, 1}, {0, 0, 0}, 0, 0};
            c->launch.n_args = kind;
        }
        MUST(tgi_resident_cluster(&ds, &from, &to, &wish, &what, &err));
        assert_int_equal(what.n_clusters, 0);
        assert_int_equal(what.possible.n_tasks, 0);
        assert_int_equal(what.left, 0);
        assert_non_null(strstr(what.why, why[kind]));
        MUST(tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err));
        assert_int_equal(what.n_clusters, 1);
        tgi_program_fini(&to);
        tgi_program_fini(&from);
    }
    takes_launches = false;
}

static void points_between_fine_commands_are_inside(void **state)
{
    struct tgi_devices ds = {.ops = &ops, .n_devices = 1};
    struct tgi_program from = {0}, to = {0};
    struct tgi_clustering what;
    struct tg_error err;
    uint32_t wide[8], point;
    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        wide[i] = add(&from, TGI_COMMAND_FILL, 0, NULL, 0);
    point = add(&from, TGI_COMMAND_NOTHING, 0, wide, 8);
    for (uint32_t i = 0; i < 8; i++)
        add(&from, TGI_COMMAND_FILL, 0, &point, 1);
    MUST(tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err));
    assert_int_equal(what.n_clusters, 1);
    assert_int_equal(to.n, 1);
    assert_int_equal(to.commands[0].cluster->program->n_tasks, 17);
    tgi_program_fini(&to);
    tgi_program_fini(&from);
}

static void what_stands_against_it_is_told(void **state)
{
    struct tgi_devices ds = {.ops = &ops, .n_devices = 1}, bare = {.ops = &bare_ops, .n_devices = 1};
    struct tgi_program from = {0}, to = {0};
    struct tgi_clustering what;
    struct tg_error err;
    (void)state;
    add(&from, TGI_COMMAND_FILL, 0, NULL, 0);
    add(&from, TGI_COMMAND_COPY, 0, NULL, 0);
    MUST(tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err));
    assert_int_equal(what.n_clusters, 0);
    assert_int_equal(what.left, TG_NONE);
    assert_non_null(strstr(what.why, "not two tasks"));
    add(&from, TGI_COMMAND_LAUNCH, 0, NULL, 0);
    uint32_t coarse = add(&from, TGI_COMMAND_FILL, 0, NULL, 0);
    from.commands[coarse].fill.dtype = TG_F64; /* a second long */
    MUST(tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err));
    assert_int_equal(what.n_clusters, 0);
    assert_int_equal(what.left, 2);
    assert_string_equal(what.why, "it is no fill");
    assert_int_equal(tgi_resident_cluster(&bare, &from, &to, NULL, &what, &err), TG_E_UNSUPPORTED);
    assert_int_equal(to.n, 0);
    tgi_program_fini(&from);
}

/* Rounds of a fill and a copy to the other device on each of two devices, then the next round after both copies; as clusters on both
 * while the fills are fine, and none if they are nodes, as kernels for nothing but copies would be. */
static void copies_between_nodes_are_nodes(void **state)
{
    struct tgi_devices ds = {.ops = &ops, .n_devices = 2};
    struct tgi_clustering what;
    struct tg_error err;
    (void)state;
    for (int is_coarse = 0; is_coarse < 2; is_coarse++) {
        struct tgi_program from = {0}, to = {0};
        uint32_t copies[2], n_copies = 0;
        for (uint32_t r = 0; r < 10; r++) {
            uint32_t fills[2];
            for (uint32_t d = 0; d < 2; d++) {
                fills[d] = add(&from, TGI_COMMAND_FILL, d, copies, n_copies);
                from.commands[fills[d]].fill.dtype = is_coarse ? TG_F64 : TG_U64;
            }
            for (uint32_t d = 0; d < 2; d++) {
                uint32_t deps[2] = {fills[d], copies[0]};
                copies[d] = add(&from, TGI_COMMAND_COPY, d, deps, d ? 2 : 1); /* one after the other */
                from.commands[copies[d]].copy.from_node = d + 1;
                from.commands[copies[d]].copy.to_node = 2 - d;
            }
            n_copies = 2;
        }
        MUST(tgi_resident_cluster(&ds, &from, &to, NULL, &what, &err));
        assert_int_equal(what.n_spread, is_coarse ? 0 : 1);
        assert_int_equal(what.n_calls, is_coarse ? 0 : 40);
        assert_int_equal(to.n, is_coarse ? 0 : 1);
        tgi_program_fini(&to);
        tgi_program_fini(&from);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_keep_every_dependency),
        cmocka_unit_test(clusters_on_several_devices_keep_every_dependency),
        cmocka_unit_test(each_cluster_is_chosen_by_itself),
        cmocka_unit_test(a_wish_leaves_out_what_it_cannot_weigh),
        cmocka_unit_test(points_between_fine_commands_are_inside),
        cmocka_unit_test(what_stands_against_it_is_told),
        cmocka_unit_test(copies_between_nodes_are_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
