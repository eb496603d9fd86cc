/* See choice.h. */
#include "sched/choice.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/runtime.h"

enum {
    N_TRIED = 3, /* samples of a way until it is known */
    N_TIMED = 4, /* executions of a class that are timed, of each of the first starts */
    N_TIMED_STARTS = 3,
    N_NOTED = 16,       /* times of a way that are of interest, of one start */
    N_HOST_TRIED = 2 /* tasks that go to a CPU for once, of a run */
};
#define HOPELESS 3.0 /* times the best one: no second sample is needed */
/* The most a core is likely to do, so that what could win on a CPU is tried. */
#define CORE_FLOPS_PER_NS 50.0
#define CORE_BYTES_PER_NS 10.0

struct way {
    uint32_t id;           /* the backend's */
    uint32_t entry, alone; /* in the history: beside others, and where the device did nothing else */
    uint32_t n_issued, n_back; /* of this run, to be tried: tasks, and times of them */
    uint32_t n_executed, n_noted; /* of this start */
    uint32_t has_run;             /* a bit for each device */
    bool is_call;                 /* it shares something of its lane with others, as calls of libraries do */
};

/* One class on devices of one name. */
struct choice {
    uint32_t n_ways, n_timed;
    struct way ways[TGI_MAX_WAYS]; /* those the backend thinks better first */
    uint32_t best, kernel;         /* of them; the fastest kernel if the best is a call, TG_NONE: it is none, or there is no kernel */
    bool is_settled;               /* no way is to be tried any more */
    double best_ns;                /* its median, of what decides; infinite: not known */
    double ns;                     /* its median beside others, or else alone; 0: not known */
    double inside_ns[2];           /* by enum tgi_inside: a median, if it has been looked up */
    bool has_inside[2];
    uint32_t n_inside[2];          /* times of this start */
};

struct tgi_choices {
    struct tg_run *run;
    struct tgi_devices *devices;
    struct tgi_code *const *codes;
    struct tgi_history *history;
    struct tgi_alikes *alikes;
    uint32_t n_kinds, kind_of[TGI_MAX_DEVICES]; /* devices of one name are one kind */
    struct choice *choices;                     /* by class * n_kinds + kind */
    struct host {
        uint32_t entry, n_issued, n_noted;
        double ns; /* 0: not known */
    } * hosts;     /* by class */
    uint32_t n_starts;
    bool has_new_times;
};

/* ---- Keys ---------------------------------------------------------------------------------*/

static void cut(char *to, size_t size, const char *text) { snprintf(to, size, "%.*s", (int)size - 1, text); }

static struct tgi_history_key key_of(const struct tgi_choices *c, uint32_t class, const char *device, const char *variant)
{
    const struct tgi_alike *a = &c->alikes->classes[class];
    const struct tgi_space *space = c->run->graph->space;
    const struct tgi_op *op = &space->ops[a->op];
    struct tgi_history_key key = {"", "", "", ""};
    const char *type = op->type_t >= 0 ? tg_dtype_name((enum tg_dtype)op->type_t) : "";
    snprintf(key.kernel, sizeof key.kernel, "%.50s%s%s", op->generic == TG_NONE ? op->name : space->ops[op->generic].name,
             *type ? " " : "", type);
    cut(key.device, sizeof key.device, device);
    cut(key.variant, sizeof key.variant, variant);
    cut(key.sizes, sizeof key.sizes, a->sizes);
    return key;
}

static uint32_t device_entry(struct tgi_choices *c, uint32_t class, uint32_t device, uint32_t way, bool is_alone)
{
    const struct tgi_device_ops *ops = c->devices->ops;
    const struct tgi_code *code = c->codes[c->alikes->classes[class].op];
    char name[TGI_HISTORY_TEXT];
    snprintf(name, sizeof name, "%s %.50s", ops->kind, c->devices->info[device].name);
    struct tgi_history_key key = key_of(c, class, name, ops->way_name ? ops->way_name(c->devices, code, way) : "");
    if (is_alone)
        snprintf(key.sizes, sizeof key.sizes, "alone, %.80s", c->alikes->classes[class].sizes);
    return tgi_history_entry(c->history, &key);
}

static struct tgi_history_key inside_key(const struct tgi_choices *c, uint32_t class, uint32_t device, enum tgi_inside where)
{
    static const char *const variants[] = {"inside a graph", "inside a resident kernel"};
    char name[TGI_HISTORY_TEXT];
    snprintf(name, sizeof name, "%s %.50s", c->devices->ops->kind, c->devices->info[device].name);
    return key_of(c, class, name, variants[where]);
}

/* ---- Deciding -----------------------------------------------------------------------------*/

static double median_of(const struct tgi_choices *c, uint32_t entry, uint32_t *n_p)
{
    struct tgi_history_model m;
    bool is_known = tgi_history_model(c->history, entry, &m);
    *n_p = is_known ? m.n_samples : 0;
    return is_known ? m.median_ns : INFINITY;
}

/* By times alone; where a way has none, because there is no other or tasks are few, by those beside others. */
static double deciding(const struct tgi_choices *c, const struct way *w, uint32_t *n_p)
{
    double ns = median_of(c, w->alone, n_p);
    uint32_t n_beside;
    return *n_p ? ns : median_of(c, w->entry, &n_beside);
}

/* The fastest kernel of a choice whose best way is a call, or the first where no time is known; TG_NONE: there is none, or the best is none. */
static uint32_t find_kernel(const struct tgi_choices *c, const struct choice *x)
{
    double best_ns = INFINITY;
    uint32_t best = TG_NONE, n;
    for (uint32_t i = 0; x->ways[x->best].is_call && i < x->n_ways; i++) {
        if (x->ways[i].is_call)
            continue;
        double ns = deciding(c, &x->ways[i], &n);
        if (best == TG_NONE || ns < best_ns) {
            best_ns = ns;
            best = i;
        }
    }
    return best;
}

static void decide(struct tgi_choices *c, struct choice *x)
{
    uint32_t n, best = 0;
    x->best_ns = INFINITY;
    for (uint32_t i = 0; i < x->n_ways; i++) {
        double ns = deciding(c, &x->ways[i], &n);
        if (ns < x->best_ns) {
            x->best_ns = ns;
            best = i;
        }
    }
    double ns = median_of(c, x->ways[best].entry, &n);
    ns = n ? ns : isinf(x->best_ns) ? 0 : x->best_ns;
    c->has_new_times |= ns != x->ns;
    x->best = best;
    x->ns = ns;
    x->kernel = find_kernel(c, x);
}

/* A way that is to be tried now: of which too few times are known, that is not hopeless, and of which no time is on its
 * way, as it tells whether there is to be another. */
static uint32_t untried(const struct tgi_choices *c, struct choice *x)
{
    bool is_settled = true;
    for (uint32_t i = 0; !x->is_settled && x->n_ways > 1 && i < x->n_ways; i++) {
        uint32_t n;
        double ns = median_of(c, x->ways[i].alone, &n);
        uint32_t n_first = (uint32_t)__builtin_popcount(x->ways[i].has_run); /* which do not count */
        if (n >= N_TRIED || x->ways[i].n_issued > N_TRIED + n_first || (n > 0 && ns > HOPELESS * x->best_ns))
            continue;
        if (x->ways[i].n_issued == x->ways[i].n_back)
            return i;
        is_settled = false;
    }
    x->is_settled = is_settled;
    return TG_NONE;
}

/* ---- Life ---------------------------------------------------------------------------------*/

static void group_devices(struct tgi_choices *c)
{
    for (uint32_t d = 0; d < c->devices->n_devices; d++) {
        uint32_t like = 0;
        while (like < d && strcmp(c->devices->info[like].name, c->devices->info[d].name))
            like++;
        c->kind_of[d] = like < d ? c->kind_of[like] : c->n_kinds++;
    }
}

/* Ways depend on the sizes, which tasks of a class have in common. */
static void list_ways(struct tgi_choices *c, uint32_t class, uint32_t device)
{
    const struct tgi_alike *a = &c->alikes->classes[class];
    struct choice *x = &c->choices[(size_t) class * c->n_kinds + c->kind_of[device]];
    struct tgi_code *code = c->codes[a->op];
    uint32_t ids[TGI_MAX_WAYS] = {0};
    uint64_t values[TG_MAX_PARAMS];
    void *args[TG_MAX_PARAMS];
    for (uint32_t i = 0; i < c->run->graph->space->ops[a->op].n_params; i++) {
        values[i] = tgi_graph_word(a->graph, a->task, i);
        args[i] = &values[i];
    }
    x->n_ways = c->devices->ops->ways ? c->devices->ops->ways(c->devices, code, args, ids) : 1;
    for (uint32_t i = 0; i < x->n_ways; i++) {
        const struct tgi_shape shape = {.alternative = ids[i]};
        bool is_call = code && c->devices->ops->shares_lane && c->devices->ops->shares_lane(c->devices, code, &shape);
        x->ways[i] = (struct way){ids[i], device_entry(c, class, device, ids[i], false),
                                  x->n_ways > 1 ? device_entry(c, class, device, ids[i], true) : TG_NONE, 0, 0, 0, 0, 0, is_call};
    }
    decide(c, x);
}

static void list_host(struct tgi_choices *c, uint32_t class, const char *machine)
{
    const struct tgi_alike *a = &c->alikes->classes[class];
    const char *variant = tgi_run_variant_text(c->run, a->op);
    char name[TGI_HISTORY_TEXT];
    uint32_t n;
    c->hosts[class].entry = TG_NONE;
    if (!c->run->calls[a->op].fn)
        return;
    snprintf(name, sizeof name, "cpu %.58s", machine);
    struct tgi_history_key key = key_of(c, class, name, variant);
    c->hosts[class].entry = tgi_history_entry(c->history, &key);
    double ns = median_of(c, c->hosts[class].entry, &n);
    c->hosts[class].ns = isinf(ns) ? 0 : ns;
}

int tgi_choices_create(struct tg_run *run, struct tgi_devices *devices, struct tgi_code *const *codes,
                       struct tgi_history *history, struct tgi_choices **choices_p, struct tg_error *err)
{
    struct tgi_choices *c = calloc(1, sizeof *c);
    if (!c)
        return tgi_error_memory(err, "choosing between variants");
    *c = (struct tgi_choices){.run = run, .devices = devices, .codes = codes, .history = history};
    group_devices(c);
    int rc = tgi_alikes_create(run->graph, &c->alikes, err);
    if (rc == 0) {
        c->choices = calloc((size_t)c->alikes->n * c->n_kinds + 1, sizeof *c->choices);
        c->hosts = calloc((size_t)c->alikes->n + 1, sizeof *c->hosts);
        rc = c->choices && c->hosts ? 0 : tgi_error_memory(err, "choosing between variants");
    }
    if (rc) {
        tgi_choices_destroy(c);
        return rc;
    }
    for (uint32_t i = 0; i < c->alikes->n; i++) {
        list_host(c, i, tgi_history_machine());
        for (uint32_t d = 0; codes[c->alikes->classes[i].op] && d < devices->n_devices; d++)
            list_ways(c, i, d);
    }
    *choices_p = c;
    return 0;
}

void tgi_choices_destroy(struct tgi_choices *c)
{
    if (!c)
        return;
    tgi_alikes_destroy(c->alikes);
    free(c->choices);
    free(c->hosts);
    free(c);
}

/* ---- Asking -------------------------------------------------------------------------------*/

static struct choice *choice_of(const struct tgi_choices *c, uint32_t class, uint32_t device)
{
    return &c->choices[(size_t) class * c->n_kinds + c->kind_of[device]];
}

const uint32_t *tgi_choices_classes(const struct tgi_choices *c, const struct tg_graph *graph)
{
    return tgi_alikes_of(c->alikes, graph);
}

double tgi_choices_device_ns(const struct tgi_choices *c, uint32_t class, uint32_t device)
{
    return class == TG_NONE ? 0 : choice_of(c, class, device)->ns;
}

double tgi_choices_host_ns(const struct tgi_choices *c, uint32_t class) { return class == TG_NONE ? 0 : c->hosts[class].ns; }

/* The least a core could take, by what is declared; 0: nothing is, so nothing is known to be too slow. */
static double least_host_ns(const struct tgi_alike *a)
{
    struct tgi_cost cost = tgi_graph_cost(a->graph, a->task);
    double compute = isnan(cost.flops) ? 0 : cost.flops / CORE_FLOPS_PER_NS;
    double memory = isnan(cost.bytes) ? 0 : cost.bytes / CORE_BYTES_PER_NS;
    return compute > memory ? compute : memory;
}

bool tgi_choices_try_host(struct tgi_choices *c, uint32_t class)
{
    struct host *h = class == TG_NONE ? NULL : &c->hosts[class];
    double device_ns = INFINITY;
    if (!h || h->entry == TG_NONE || h->ns > 0 || h->n_issued >= N_HOST_TRIED || !c->run->options.is_recorded)
        return false;
    for (uint32_t d = 0; d < c->devices->n_devices; d++)
        device_ns = fmin(device_ns, choice_of(c, class, d)->ns);
    if (least_host_ns(&c->alikes->classes[class]) + TGI_CHOICE_CROSSING_NS >= device_ns)
        return false; /* also where nothing is known about the device */
    h->n_issued++;
    return true;
}

double tgi_choices_inside_ns(const struct tgi_choices *c, uint32_t class, uint32_t device, enum tgi_inside where)
{
    if (class == TG_NONE)
        return 0;
    struct choice *x = choice_of(c, class, device);
    if (!x->has_inside[where]) { /* asked for each task of the class */
        uint32_t n;
        struct tgi_history_key key = inside_key(c, class, device, where);
        double ns = median_of(c, tgi_history_find(c->history, &key), &n);
        x->inside_ns[where] = isinf(ns) ? 0 : ns;
        x->has_inside[where] = true;
    }
    return x->inside_ns[where];
}

void tgi_choices_note_inside(struct tgi_choices *c, uint32_t class, uint32_t device, enum tgi_inside where, double ns)
{
    if (class == TG_NONE)
        return;
    struct choice *x = choice_of(c, class, device);
    if (x->n_inside[where]++ >= N_NOTED)
        return;
    struct tgi_history_key key = inside_key(c, class, device, where);
    tgi_history_note_beside(c->history, tgi_history_entry(c->history, &key), ns);
    x->has_inside[where] = false;
}

/* ---- Executing ----------------------------------------------------------------------------*/

bool tgi_choices_begin(struct tgi_choices *c)
{
    bool has_new_times = c->has_new_times;
    c->has_new_times = false;
    c->n_starts++;
    for (size_t i = 0; i < (size_t)c->alikes->n * c->n_kinds; i++) {
        c->choices[i].n_timed = c->choices[i].n_inside[TGI_INSIDE_GRAPH] = c->choices[i].n_inside[TGI_INSIDE_RESIDENT] = 0;
        for (uint32_t k = 0; k < c->choices[i].n_ways; k++)
            c->choices[i].ways[k].n_executed = c->choices[i].ways[k].n_noted = 0;
    }
    for (uint32_t i = 0; i < c->alikes->n; i++)
        c->hosts[i].n_noted = 0;
    return has_new_times;
}

uint32_t tgi_choices_take(struct tgi_choices *c, uint32_t class, uint32_t device, enum tgi_timing *timing_p)
{
    struct choice *x = choice_of(c, class, device);
    uint32_t i = untried(c, x);
    if (i != TG_NONE) {
        *timing_p = TGI_TIMED_ALONE;
        x->ways[i].n_issued++;
    } else {
        i = x->best;
        *timing_p = c->n_starts <= N_TIMED_STARTS && x->n_timed < N_TIMED ? TGI_TIMED : TGI_NOT_TIMED;
        x->n_timed += *timing_p == TGI_TIMED;
    }
    x->ways[i].n_executed++;
    return x->ways[i].id;
}

uint32_t tgi_choices_best(const struct tgi_choices *c, uint32_t class, uint32_t device)
{
    const struct choice *x = choice_of(c, class, device);
    return x->ways[x->best].id;
}

uint32_t tgi_choices_best_kernel(const struct tgi_choices *c, uint32_t class, uint32_t device)
{
    const struct choice *x = choice_of(c, class, device);
    return x->ways[x->kernel == TG_NONE ? x->best : x->kernel].id;
}

double tgi_choices_call_ns(const struct tgi_choices *c, uint32_t class, uint32_t device)
{
    const struct choice *x = choice_of(c, class, device);
    return x->kernel == TG_NONE ? 0 : x->best_ns;
}

void tgi_choices_note(struct tgi_choices *c, uint32_t class, uint32_t device, uint32_t way, bool was_alone, double ns)
{
    struct choice *x = choice_of(c, class, device);
    for (uint32_t i = 0; i < x->n_ways; i++) {
        struct way *w = &x->ways[i];
        if (w->id != way || (!was_alone && w->n_noted++ >= N_NOTED))
            continue;
        /* The first one on a device may have loaded code; it counts only where there is no other. */
        bool counts = w->has_run >> device & 1 || c->alikes->classes[class].n_tasks < 3;
        w->has_run |= 1u << device;
        w->n_back += was_alone;
        if (counts && was_alone)
            tgi_history_note(c->history, w->alone, ns);
        else if (counts)
            tgi_history_note_beside(c->history, w->entry, ns);
    }
    decide(c, x);
}

void tgi_choices_note_host(struct tgi_choices *c, uint32_t class, double ns)
{
    struct host *h = &c->hosts[class];
    uint32_t n;
    if (h->n_noted++ >= N_NOTED)
        return;
    tgi_history_note(c->history, h->entry, ns);
    double median = median_of(c, h->entry, &n);
    h->ns = isinf(median) ? 0 : median;
}

/* ---- For people ---------------------------------------------------------------------------*/

void tgi_choices_sources(const struct tgi_choices *c, const struct tg_graph *graph, struct tgi_run_times *times_p)
{
    *times_p = (struct tgi_run_times){0, 0, 0, 0};
    for (uint32_t i = 0; i < c->alikes->n; i++) {
        const struct tgi_alike *a = &c->alikes->classes[i];
        struct tgi_cost cost = tgi_graph_cost(a->graph, a->task);
        bool is_measured = c->hosts[i].ns > 0;
        for (uint32_t k = 0; k < c->n_kinds; k++)
            is_measured |= c->choices[(size_t)i * c->n_kinds + k].ns > 0;
        if (a->graph != graph)
            continue;
        *(is_measured                                ? &times_p->n_measured
          : !isnan(cost.us)                          ? &times_p->n_declared
          : !isnan(cost.flops) || !isnan(cost.bytes) ? &times_p->n_roofline
                                                     : &times_p->n_sized) += a->n_tasks;
    }
}

struct executed {
    const char *name;
    uint64_t n;
};

static void add_executed(struct executed *list, uint32_t *n_p, const char *name, uint64_t n)
{
    uint32_t i = 0;
    while (i < *n_p && strcmp(list[i].name, name))
        i++;
    if (i == *n_p)
        list[(*n_p)++] = (struct executed){name, 0};
    list[i].n += n;
}

/* Those of an op have names from one code: at most TGI_MAX_WAYS. */
void tgi_choices_text(const struct tgi_choices *c, uint32_t op, char *text, size_t size)
{
    struct executed list[TGI_MAX_WAYS];
    uint32_t n = 0;
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < (size_t)c->alikes->n * c->n_kinds; i++) {
        const struct choice *x = &c->choices[i];
        for (uint32_t k = 0; c->alikes->classes[i / c->n_kinds].op == op && k < x->n_ways; k++)
            if (x->ways[k].n_executed && c->devices->ops->way_name)
                add_executed(list, &n, c->devices->ops->way_name(c->devices, c->codes[op], x->ways[k].id),
                             x->ways[k].n_executed);
    }
    if (n == 1)
        snprintf(text, size, "%s", list[0].name);
    for (uint32_t i = 0; n > 1 && i < n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s (%llu)", i ? ", " : "", list[i].name,
                               (unsigned long long)list[i].n);
}
