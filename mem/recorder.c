/* See recorder.h.
 *
 * A point is what a stamp stands for: a command, or two other points.  Joining is one step however much is joined, and a
 * wide join is taken apart once, when a command comes after it; the points of a task with n predecessors would be
 * copied n times over if they were kept as lists. */
#include "mem/recorder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

struct point {
    uint32_t a, b; /* b TG_NONE: command a, or nothing if that is TG_NONE as well; else two points */
};
enum { NOTHING = 0 }; /* the point that every recorder has from the start */

struct lane {
    uint32_t pending; /* a point: what the next command comes after, beside `last`; TG_NONE: nothing */
    uint32_t last;    /* the command since the last append; TG_NONE: there is none */
    uint32_t shared;  /* the last command that used what launches of this lane share; TG_NONE */
    uint32_t sent;    /* the last copy from the host that waits for nothing but those before it; TG_NONE */
    uint64_t used;    /* when that was */
};

/* Whatever a body does not share with what is around it. */
struct tgi_recorder_body {
    struct tgi_recorder_body *outer; /* NULL: there is none */
    struct tgi_program *program;
    struct lane *lanes;
    uint32_t first_point;     /* those below are of outside */
    uint32_t last_collective; /* a point; TG_NONE: there was none */
    uint8_t *has_shared;      /* by lane: a body since the last decision has used what launches of it share */
};

struct tgi_recorder {
    struct tgi_devices base; /* first */
    struct tgi_devices *devices;
    struct tgi_program *program;
    struct lane *lanes;
    struct tgi_recorder_body *outer; /* of the body that is being recorded; NULL: it is none */
    uint32_t first_point;
    uint8_t *has_shared;
    struct point *points;
    uint32_t n_points, cap_points;
    uint32_t *seen;         /* by point: the last walk that came by */
    uint32_t *seen_command; /* the same by command */
    uint32_t cap_seen, cap_seen_command, walk;
    uint32_t *deps, *stack;
    uint32_t cap_deps, cap_stack;
    uint32_t last_collective; /* a point; TG_NONE: there was none */
    uint64_t owner, n_used;
    uint32_t n_args, step;
    int rc; /* TG_E_NO_MEMORY: something was left out */
};

static struct tgi_recorder *recorder_of(struct tgi_devices *ds) { return (struct tgi_recorder *)ds; }

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "recording a run"); }

/* ---- Points -------------------------------------------------------------------------------*/

/* `unmarked` becomes 0 where it grows. */
static bool reserve_marks(uint32_t **marks, uint32_t *cap, uint32_t need)
{
    uint32_t before = *cap;
    if (!tgi_vec_reserve(marks, cap, need, sizeof **marks))
        return false;
    memset(*marks + before, 0, (size_t)(*cap - before) * sizeof **marks);
    return true;
}

/* TG_NONE without memory, which is kept in mind. */
static uint32_t add_point(struct tgi_recorder *r, uint32_t a, uint32_t b)
{
    if (!tgi_vec_reserve(&r->points, &r->cap_points, (uint64_t)r->n_points + 1, sizeof *r->points) ||
        !reserve_marks(&r->seen, &r->cap_seen, r->cap_points)) {
        r->rc = TG_E_NO_MEMORY;
        return TG_NONE;
    }
    r->points[r->n_points] = (struct point){a, b};
    return r->n_points++;
}

/* Two ranks of one collective, as a rule. */
static bool are_same(const struct tgi_recorder *r, uint32_t a, uint32_t b)
{
    return r->points[a].b == TG_NONE && r->points[b].b == TG_NONE && r->points[a].a == r->points[b].a;
}

/* In a body, what comes from outside is over. */
static uint32_t from_here(const struct tgi_recorder *r, uint32_t point)
{
    return point != TG_NONE && point < r->first_point ? TG_NONE : point;
}

static uint32_t join(struct tgi_recorder *r, uint32_t a, uint32_t b)
{
    a = from_here(r, a);
    b = from_here(r, b);
    if (a == TG_NONE || a == b)
        return b;
    return b == TG_NONE || are_same(r, a, b) ? a : add_point(r, a, b);
}

static struct tgi_stamp stamp_of(uint32_t lane, uint32_t point)
{
    return point == TG_NONE ? TGI_STAMP_NONE : (struct tgi_stamp){lane, (uint64_t)point + 1};
}

static uint32_t point_of(struct tgi_stamp stamp) { return stamp.lane == TG_NONE ? TG_NONE : (uint32_t)(stamp.seq - 1); }

static bool add_dep(struct tgi_recorder *r, uint32_t command, uint32_t *n_p)
{
    if (command == TG_NONE || r->seen_command[command] == r->walk)
        return true;
    if (!tgi_vec_reserve(&r->deps, &r->cap_deps, (uint64_t)*n_p + 1, sizeof *r->deps))
        return false;
    r->seen_command[command] = r->walk;
    r->deps[(*n_p)++] = command;
    return true;
}

/* The commands a point stands for, into deps. */
static bool take_apart(struct tgi_recorder *r, uint32_t point, uint32_t *n_p)
{
    uint32_t n = 0;
    if (point == TG_NONE)
        return true;
    if (!tgi_vec_reserve(&r->stack, &r->cap_stack, (uint64_t)r->n_points + 1, sizeof *r->stack))
        return false;
    r->stack[n++] = point;
    while (n) {
        uint32_t at = r->stack[--n];
        if (r->seen[at] == r->walk)
            continue;
        r->seen[at] = r->walk;
        if (r->points[at].b == TG_NONE) {
            if (!add_dep(r, r->points[at].a, n_p))
                return false;
            continue;
        }
        if (!tgi_vec_reserve(&r->stack, &r->cap_stack, (uint64_t)n + 2, sizeof *r->stack))
            return false;
        r->stack[n++] = r->points[at].b;
        r->stack[n++] = r->points[at].a;
    }
    return true;
}

/* ---- Commands -----------------------------------------------------------------------------*/

/* What the lane's next command comes after, into deps. */
static bool find_deps(struct tgi_recorder *r, uint32_t lane, uint32_t *n_p)
{
    *n_p = 0;
    if (!reserve_marks(&r->seen_command, &r->cap_seen_command, r->program->n + 1))
        return false;
    if (++r->walk == 0) { /* they would look seen */
        memset(r->seen, 0, r->cap_seen * sizeof *r->seen);
        memset(r->seen_command, 0, r->cap_seen_command * sizeof *r->seen_command);
        r->walk = 1;
    }
    return add_dep(r, r->lanes[lane].last, n_p) && take_apart(r, r->lanes[lane].pending, n_p);
}

static int add(struct tgi_recorder *r, uint32_t lane, struct tgi_command *c, uint32_t n_deps, struct tg_error *err)
{
    uint32_t id;
    c->owner = r->owner;
    c->step = c->kind == TGI_COMMAND_NOTHING ? 0 : r->step;
    int rc = r->rc ? no_memory(err) : tgi_program_add(r->program, c, r->deps, n_deps, &id, err);
    if (rc)
        return rc;
    r->lanes[lane].last = id;
    r->lanes[lane].pending = TG_NONE;
    return 0;
}

static bool is_urgent(uint32_t lane)
{
    uint32_t which = lane % TGI_LANES_EACH;
    return which >= TGI_PLAIN_LANES && which < TGI_COMPUTE_LANES;
}

/* Of the lane only the device matters and whether it prefers it.  Which lane of those it would be depends on what was enqueued
 * before: the same run is to give the same program. */
static uint32_t first_of_kind(uint32_t lane)
{
    return tgi_lane_of(tgi_lane_device(lane), is_urgent(lane) ? TGI_PLAIN_LANES : 0);
}

static int add_simple(struct tgi_recorder *r, uint32_t lane, struct tgi_command *c, struct tg_error *err)
{
    uint32_t n_deps;
    c->lane = first_of_kind(lane);
    return find_deps(r, lane, &n_deps) ? add(r, lane, c, n_deps, err) : no_memory(err);
}

/* What is on the host from the start is sent in the order in which it was asked for, as by streams.  All of these copies could begin at
 * once, and a driver that may choose lets what is needed first wait for all the rest.  Of two chains of them an engine stays with one for as
 * long as it has more, so all but those that kernels do are one. */
static int add_sent(struct tgi_recorder *r, uint32_t lane, struct tgi_command *c, struct tg_error *err)
{
    uint32_t n_deps, id = r->program->n;
    struct lane *chain = &r->lanes[c->copy.bytes <= TGI_PULL_BYTES ? lane : tgi_lane_of(tgi_lane_device(lane), TGI_LANE_IN)];
    c->lane = first_of_kind(lane);
    if (!find_deps(r, lane, &n_deps))
        return no_memory(err);
    bool is_first = n_deps == 0;
    if (is_first && !add_dep(r, chain->sent, &n_deps))
        return no_memory(err);
    int rc = add(r, lane, c, n_deps, err);
    if (rc == 0 && is_first)
        chain->sent = id;
    return rc;
}

static int copy(struct tgi_devices *ds, uint32_t lane, const struct tgi_transfer *transfer, struct tg_error *err)
{
    struct tgi_recorder *r = recorder_of(ds);
    struct tgi_command c = {.kind = TGI_COMMAND_COPY, .copy = *transfer};
    if (r->outer && transfer->to_node != transfer->from_node)
        return tgi_error(err, TG_E_UNSUPPORTED, "a copy between memories is in no body that a device decides about");
    if (!transfer->bytes)
        return 0;
    return (transfer->from_node == TGI_HOST_NODE ? add_sent : add_simple)(r, lane, &c, err);
}

static int fill(struct tgi_devices *ds, uint32_t lane, uint64_t address, uint64_t n_elems, enum tg_dtype dtype, uint64_t word,
                struct tg_error *err)
{
    struct tgi_command c = {.kind = TGI_COMMAND_FILL, .fill = {address, n_elems, word, dtype}};
    return n_elems ? add_simple(recorder_of(ds), lane, &c, err) : 0;
}

/* The lane for a launch that shares something of it, of the same kind. */
static uint32_t choose_shared(const struct tgi_recorder *r, uint32_t first)
{
    uint32_t n = is_urgent(first) ? TGI_URGENT_LANES : TGI_PLAIN_LANES, best = first;
    for (uint32_t lane = first; lane < first + n; lane++) {
        uint32_t last = r->lanes[lane].shared;
        if (last != TG_NONE && r->seen_command[last] == r->walk)
            return lane;
        if (r->lanes[lane].used < r->lanes[best].used)
            best = lane;
    }
    return best;
}

static int launch(struct tgi_devices *ds, uint32_t lane, struct tgi_code *code, const struct tgi_shape *shape, void **args,
                  struct tg_error *err)
{
    struct tgi_recorder *r = recorder_of(ds);
    const struct tgi_device_ops *ops = r->devices->ops;
    struct tgi_command c = {.kind = TGI_COMMAND_LAUNCH, .lane = first_of_kind(lane)};
    uint64_t words[TG_MAX_PARAMS];
    uint32_t n_deps, id = r->program->n;
    bool is_shared = ops->shares_lane && ops->shares_lane(r->devices, code, shape);
    for (uint32_t i = 0; i < r->n_args; i++)
        memcpy(&words[i], args[i], sizeof words[i]);
    c.launch.code = code;
    c.launch.shape = *shape;
    c.launch.n_args = r->n_args;
    if (!find_deps(r, lane, &n_deps))
        return no_memory(err);
    if (is_shared) {
        c.lane = choose_shared(r, c.lane);
        if (!add_dep(r, r->lanes[c.lane].shared, &n_deps))
            return no_memory(err);
    }
    int rc = tgi_program_add_words(r->program, words, r->n_args, &c.launch.first_arg, err);
    if (rc == 0)
        rc = add(r, lane, &c, n_deps, err);
    if (rc == 0 && is_shared) {
        r->lanes[c.lane].shared = id;
        r->lanes[c.lane].used = ++r->n_used;
    }
    return rc;
}

/* One command, after what any of its lanes waits for; each lane goes on behind it.  Collectives follow each other, as all ranks
 * have to take part in them in the same order. */
static int collect(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint64_t n_elems, uint32_t n_ranks,
                   const uint64_t *tiles, const uint64_t *scratch, const uint32_t *lane_of, struct tg_error *err)
{
    assert(!scratch); /* nobody would keep it until the replay */
    struct tgi_recorder *r = recorder_of(ds);
    struct lane *first = &r->lanes[lane_of[0]];
    struct tgi_command c = {.kind = TGI_COMMAND_COLLECT, .collect = {op, n_elems, dtype, n_ranks, 0}};
    uint32_t ignored;
    int rc = tgi_program_add_words(r->program, tiles, n_ranks, &c.collect.first_rank, err);
    first->pending = join(r, first->pending, r->last_collective);
    for (uint32_t i = 0; rc == 0 && i < n_ranks; i++) {
        uint64_t lane = lane_of[i];
        first->pending = join(r, first->pending, r->lanes[lane].pending);
        rc = tgi_program_add_words(r->program, &lane, 1, &ignored, err);
    }
    if (rc == 0)
        rc = add_simple(r, lane_of[0], &c, err);
    for (uint32_t i = 1; rc == 0 && i < n_ranks; i++) {
        r->lanes[lane_of[i]].last = first->last;
        r->lanes[lane_of[i]].pending = TG_NONE;
    }
    if (rc == 0)
        r->last_collective = add_point(r, first->last, TG_NONE);
    return rc;
}

/* ---- Bodies -------------------------------------------------------------------------------*/

static struct lane *new_lanes(const struct tgi_devices *devices)
{
    struct lane *lanes = calloc(devices->n_lanes, sizeof *lanes);
    for (uint32_t i = 0; lanes && i < devices->n_lanes; i++)
        lanes[i] = (struct lane){.pending = TG_NONE, .last = TG_NONE, .shared = TG_NONE, .sent = TG_NONE};
    return lanes;
}

static void free_body(struct tgi_recorder_body *b)
{
    free(b->lanes);
    free(b->has_shared);
    tgi_program_destroy(b->program);
    free(b);
}

/* The recorder has what is around, or what is inside; `b` the other. */
static void exchange(struct tgi_recorder *r, struct tgi_recorder_body *b)
{
    struct tgi_recorder_body now = {r->outer, r->program, r->lanes, r->first_point, r->last_collective, r->has_shared};
    r->program = b->program;
    r->lanes = b->lanes;
    r->first_point = b->first_point;
    r->last_collective = b->last_collective;
    r->has_shared = b->has_shared;
    *b = now;
}

int tgi_recorder_begin_body(struct tgi_recorder *r, struct tg_error *err)
{
    struct tgi_recorder_body *b = calloc(1, sizeof *b);
    if (!b)
        return no_memory(err);
    b->lanes = new_lanes(r->devices);
    b->has_shared = calloc(r->devices->n_lanes, 1);
    b->program = calloc(1, sizeof *b->program);
    b->first_point = r->n_points;
    b->last_collective = TG_NONE;
    if (!b->lanes || !b->has_shared || !b->program) {
        free_body(b);
        return no_memory(err);
    }
    exchange(r, b);
    r->outer = b;
    return 0;
}

void tgi_recorder_end_body(struct tgi_recorder *r, struct tgi_program **body_p)
{
    struct tgi_recorder_body *b = r->outer, *outer = b->outer;
    exchange(r, b);
    r->outer = outer;
    for (uint32_t i = 0; i < r->devices->n_lanes; i++)
        r->has_shared[i] |= b->has_shared[i] | (b->lanes[i].shared != TG_NONE);
    *body_p = b->program;
    b->program = NULL;
    free_body(b);
}

/* Comes after whoever used what the bodies use of lanes, and whoever uses it next comes after this. */
static int add_decision(struct tgi_recorder *r, uint32_t lane, struct tgi_command *c, struct tg_error *err)
{
    uint32_t n_deps, id = r->program->n;
    c->lane = first_of_kind(lane);
    if (!find_deps(r, lane, &n_deps))
        return no_memory(err);
    for (uint32_t i = 0; i < r->devices->n_lanes; i++)
        if (r->has_shared[i] && !add_dep(r, r->lanes[i].shared, &n_deps))
            return no_memory(err);
    int rc = add(r, lane, c, n_deps, err);
    for (uint32_t i = 0; rc == 0 && i < r->devices->n_lanes; i++)
        if (r->has_shared[i]) {
            r->lanes[i].shared = id;
            r->lanes[i].used = ++r->n_used;
            r->has_shared[i] = 0;
        }
    return rc;
}

int tgi_recorder_decide(struct tgi_recorder *r, uint32_t lane, struct tgi_command *c, struct tg_error *err)
{
    c->kind = TGI_COMMAND_DECIDE;
    int rc = add_decision(r, lane, c, err);
    if (rc) {
        tgi_program_destroy(c->decide.body);
        tgi_program_destroy(c->decide.body_else);
    }
    return rc;
}

/* ---- Order --------------------------------------------------------------------------------*/

/* Several things to come after become one, so that what comes after a barrier does not come after each of them. */
static void add_nothing(struct tgi_recorder *r, uint32_t lane)
{
    struct tgi_command c = {.kind = TGI_COMMAND_NOTHING};
    if (add_simple(r, lane, &c, NULL))
        r->rc = TG_E_NO_MEMORY;
}

struct tgi_stamp tgi_recorder_append(struct tgi_recorder *r, uint32_t lane)
{
    struct lane *l = &r->lanes[lane];
    if (l->pending != TG_NONE && r->points[l->pending].b == TG_NONE && r->points[l->pending].a == l->last)
        l->pending = TG_NONE; /* only its own last command */
    bool is_join = l->pending != TG_NONE && (l->last != TG_NONE || r->points[l->pending].b != TG_NONE);
    if (is_join)
        add_nothing(r, lane);
    uint32_t point = l->last == TG_NONE && l->pending != TG_NONE ? l->pending : add_point(r, l->last, TG_NONE);
    l->last = l->pending = TG_NONE;
    return stamp_of(lane, point == TG_NONE ? NOTHING : point); /* without memory the program is of no use anyway */
}

struct tgi_stamp tgi_recorder_join(struct tgi_recorder *r, struct tgi_stamp a, struct tgi_stamp b)
{
    return stamp_of(a.lane, join(r, point_of(a), point_of(b)));
}

void tgi_recorder_wait(struct tgi_recorder *r, uint32_t lane, struct tgi_stamp stamp)
{
    r->lanes[lane].pending = join(r, r->lanes[lane].pending, point_of(stamp));
}

int tgi_recorder_finish(struct tgi_recorder *r, struct tg_error *err) { return r->rc ? no_memory(err) : 0; }

/* ---- Life ---------------------------------------------------------------------------------*/

static const struct tgi_device_ops ops = {
    .size = sizeof ops,
    .kind = "recorder",
    .copy = copy,
    .fill = fill,
    .launch = launch,
    .collect = collect,
};

struct tgi_devices *tgi_recorder_devices(struct tgi_recorder *r) { return &r->base; }

void tgi_recorder_set_owner(struct tgi_recorder *r, uint64_t owner, uint32_t n_args)
{
    r->owner = owner;
    r->n_args = n_args;
}

void tgi_recorder_set_step(struct tgi_recorder *r, uint32_t step) { r->step = step; }

int tgi_recorder_create(struct tgi_devices *devices, struct tgi_program *program, struct tgi_recorder **recorder_p,
                        struct tg_error *err)
{
    struct tgi_recorder *r = calloc(1, sizeof *r);
    if (!r)
        return no_memory(err);
    r->lanes = new_lanes(devices);
    r->has_shared = calloc(devices->n_lanes, 1);
    r->base = (struct tgi_devices){.ops = &ops, .n_devices = devices->n_devices, .n_lanes = devices->n_lanes,
                                   .info = devices->info, .ordinal = devices->ordinal};
    r->devices = devices;
    r->program = program;
    r->owner = UINT64_MAX;
    r->last_collective = TG_NONE;
    if (!r->lanes || !r->has_shared || add_point(r, TG_NONE, TG_NONE) != NOTHING) {
        tgi_recorder_destroy(r);
        return no_memory(err);
    }
    *recorder_p = r;
    return 0;
}

void tgi_recorder_destroy(struct tgi_recorder *r)
{
    if (!r)
        return;
    free(r->lanes);
    free(r->has_shared);
    free(r->points);
    free(r->seen);
    free(r->seen_command);
    free(r->deps);
    free(r->stack);
    free(r);
}
