/* See calibrate.h. */
#include "sched/calibrate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "graph/error.h"
#include "sched/runtime.h"
#include "sched/sample.h"

enum { CHAIN = 4096, ALLOC_BYTES = 1 << 20, MOST_REPEATS = 64 };

void tgi_calibrate_step(const struct tgi_calibration *c, const char *format, ...)
{
    char text[160];
    va_list args;
    if (!c->on_step)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->on_step(c->user, text);
}

int tgi_calibrate_finish(struct tg_graph *g, int rc, struct tg_graph **g_p, struct tg_error *err)
{
    if (rc == 0)
        rc = tg_graph_freeze(g, err);
    if (rc)
        tg_graph_destroy(g);
    else
        *g_p = g;
    return rc;
}

/* ---- What it costs to run a task ----------------------------------------------------------*/

static int do_nothing(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    return 0;
}

static int make_chain(struct tg_graph **g_p, struct tg_error *err)
{
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_graph *g;
    tg_task_id before = TG_NONE;
    int rc = tg_graph_create("chain", &g, err);
    if (rc)
        return rc;
    kernel.name = "nothing";
    kernel.cpu = do_nothing;
    rc = tg_graph_add_kernel(g, &kernel, &task.kernel, err);
    task.after = &before;
    for (uint32_t i = 0; rc == 0 && i < CHAIN; i++) {
        tg_task_id id;
        task.n_after = i > 0;
        rc = tg_graph_add_task(g, &task, &id, err);
        before = id;
    }
    return tgi_calibrate_finish(g, rc, g_p, err);
}

static int time_chain(struct tg_run *run, double *ns_p, struct tg_error *err)
{
    struct tg_run_stats stats;
    double inside = 0;
    int rc = tg_run_execute(run, err);
    if (rc == 0)
        rc = tg_run_stats(run, &stats, err);
    if (rc)
        return rc;
    const struct tgi_span *spans = tgi_run_spans(run);
    for (uint32_t i = 0; i < CHAIN; i++)
        inside += (double)(spans[i].end_ns - spans[i].start_ns);
    *ns_p = ((double)stats.makespan_ns - inside) / CHAIN;
    return 0;
}

static int measure_tasks(const struct tgi_calibration *c, struct tgi_machine *m, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_graph *g;
    struct tg_runtime *rt = NULL;
    struct tg_run *run = NULL;
    double ns[MOST_REPEATS];
    uint32_t n = 0, n_wanted = c->is_quick ? 7 : 31;
    struct tgi_sample sample;
    tgi_calibrate_step(c, "what a task costs");
    int rc = make_chain(&g, err);
    if (rc)
        return rc;
    ro.n_workers = 1;
    o.is_recorded = true;
    rc = tg_runtime_create(&ro, &rt, err);
    if (rc == 0)
        rc = tg_run_create(rt, g, &o, &run, err);
    for (uint32_t i = 0; rc == 0 && i <= n_wanted; i++) {
        rc = time_chain(run, &ns[n], err);
        n += rc == 0 && i > 0;
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    tgi_sample_of(ns, n, &sample);
    m->classes[0].launch_ns = sample.median > 0 ? sample.median : 0;
    return rc;
}

static int measure_allocation(const struct tgi_calibration *c, struct tgi_machine *m, struct tg_error *err)
{
    double ns[MOST_REPEATS];
    uint32_t n = c->is_quick ? 15 : MOST_REPEATS;
    struct tgi_sample sample;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t begin = tgi_now_ns();
        char *p = mmap(NULL, ALLOC_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return tgi_error_memory(err, "measuring what memory costs");
        memset(p, 1, ALLOC_BYTES);
        munmap(p, ALLOC_BYTES);
        ns[i] = (double)(tgi_now_ns() - begin);
    }
    tgi_sample_of(ns, n, &sample);
    m->classes[0].alloc_ns = sample.median;
    return 0;
}

/* ---- The machine --------------------------------------------------------------------------*/

static void read_cpu_name(char *text, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(text, size, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            snprintf(text, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
            text[strcspn(text, "\n")] = '\0';
            break;
        }
    }
    if (f)
        fclose(f);
}

static int origin_of(const struct tgi_calibration *c, const struct tgi_topology *t, struct tgi_machine_origin *o,
                     struct tg_error *err)
{
    *o = (struct tgi_machine_origin){.n_cores = t->n_cores, .n_numa = t->n_numa ? t->n_numa : 1,
                                     .measured_s = (uint64_t)time(NULL)};
    read_cpu_name(o->cpu, sizeof o->cpu);
    return c->devices ? tgi_calibrate_name_devices(c, o, err) : 0;
}

int tgi_calibrate_origin(const struct tgi_calibration *c, struct tgi_machine_origin *o, struct tg_error *err)
{
    struct tgi_topology *t;
    int rc = tgi_topology_open(NULL, &t, err);
    if (rc)
        return rc;
    rc = origin_of(c, t, o, err);
    tgi_topology_close(t);
    return rc;
}

static int measure(const struct tgi_calibration *c, const struct tgi_topology *t, struct tgi_machine *m,
                   struct tg_error *err)
{
    m->is_rough = false;
    snprintf(m->name, sizeof m->name, "%.47s", m->origin.cpu);
    int rc = tgi_calibrate_memory(c, t, m, err);
    if (rc == 0)
        rc = measure_tasks(c, m, err);
    if (rc == 0)
        rc = measure_allocation(c, m, err);
    if (rc == 0 && c->devices)
        rc = tgi_calibrate_devices(c, m, err);
    if (rc == 0 && c->devices)
        rc = tgi_calibrate_graphs(c, m, m->n_classes - 1, err);
    if (rc == 0 && c->devices)
        rc = tgi_calibrate_inside(c, m, m->n_classes - 1, err);
    return rc ? rc : tgi_machine_finish(m, err);
}

int tgi_calibrate_machine(const struct tgi_calibration *c, struct tgi_machine *m_p, struct tg_error *err)
{
    struct tgi_topology *t;
    struct tgi_machine m;
    int rc = tgi_topology_open(NULL, &t, err);
    if (rc)
        return rc;
    rc = tgi_machine_init_cpus(&m, t, err);
    if (rc == 0)
        rc = origin_of(c, t, &m.origin, err);
    if (rc == 0)
        rc = measure(c, t, &m, err);
    tgi_topology_close(t);
    if (rc)
        tgi_machine_fini(&m);
    else
        *m_p = m;
    return rc;
}

/* ---- Drift --------------------------------------------------------------------------------*/

struct comparison {
    struct tgi_drift *list;
    uint32_t n, n_room;
    bool is_out_of_memory;
};

/* A figure that one of the two does not have says nothing. */
static void compare_one(struct comparison *k, bool is_rate, double before, double after, const char *format, ...) TG_PRINTF(5, 6);
static void compare_one(struct comparison *k, bool is_rate, double before, double after, const char *format, ...)
{
    va_list args;
    if (!(before > 0) || !(after > 0) || k->is_out_of_memory)
        return;
    if (k->n == k->n_room) {
        void *grown = realloc(k->list, (2 * (size_t)k->n_room + 16) * sizeof *k->list);
        k->is_out_of_memory = !grown;
        if (!grown)
            return;
        k->list = grown;
        k->n_room = 2 * k->n_room + 16;
    }
    struct tgi_drift *d = &k->list[k->n++];
    *d = (struct tgi_drift){.before = before, .after = after, .is_rate = is_rate,
                            .worse = is_rate ? before / after - 1 : after / before - 1};
    va_start(args, format);
    vsnprintf(d->what, sizeof d->what, format, args);
    va_end(args);
}

static void compare_classes(struct comparison *k, const struct tgi_machine *a, const struct tgi_machine *b)
{
    for (uint32_t i = 0; i < a->n_classes; i++) {
        const struct tgi_machine_class *x = &a->classes[i];
        uint32_t c = tgi_machine_find_class(b, x->name);
        if (c == TG_NONE)
            continue;
        compare_one(k, false, x->launch_ns, b->classes[c].launch_ns, "a task on %s", x->name);
        compare_one(k, true, x->lane_bytes_per_ns, b->classes[c].lane_bytes_per_ns, "memory from one lane of %s", x->name);
        compare_one(k, false, x->event_ns, b->classes[c].event_ns, "an event on %s", x->name);
        compare_one(k, false, x->alloc_ns, b->classes[c].alloc_ns, "memory got and returned on %s", x->name);
        compare_one(k, false, x->node_ns, b->classes[c].node_ns, "a node among others on %s", x->name);
        compare_one(k, false, x->stamp_ns, b->classes[c].stamp_ns, "times of nodes on %s", x->name);
        compare_one(k, false, x->chain_ns, b->classes[c].chain_ns, "a node after another on %s", x->name);
        compare_one(k, false, x->resident_start_ns, b->classes[c].resident_start_ns, "a resident kernel on %s", x->name);
        compare_one(k, false, x->resident_task_ns, b->classes[c].resident_task_ns, "a resident task on %s", x->name);
    }
}

static void compare_links(struct comparison *k, const struct tgi_machine *a, const struct tgi_machine *b)
{
    for (uint32_t i = 0; i < a->n_memories; i++) {
        uint32_t m = tgi_machine_find_memory(b, a->memories[i].name);
        if (m != TG_NONE)
            compare_one(k, true, a->memories[i].bytes_per_ns, b->memories[m].bytes_per_ns, "memory of %s", a->memories[i].name);
    }
    for (uint32_t i = 0; i < a->n_links; i++)
        for (uint32_t n = 0; n < b->n_links; n++)
            if (strcmp(a->links[i].from, b->links[n].from) == 0 && strcmp(a->links[i].to, b->links[n].to) == 0)
                compare_one(k, true, a->links[i].bytes_per_ns, b->links[n].bytes_per_ns, "link from %s to %s", a->links[i].from,
                            a->links[i].to);
}

static void compare_replays(struct comparison *k, const struct tgi_machine *a, const struct tgi_machine *b)
{
    static const char *const what[TGI_N_REPLAY_COSTS] = {"recording", "instantiating", "updating", "launching", "a start on streams", "a copy",
                                                           "the rest of a start on streams", "the rest of a replay"};
    for (uint32_t i = 0; i < a->n_replays; i++)
        for (uint32_t n = 0; n < b->n_replays; n++) {
            const struct tgi_machine_replay *x = &a->replays[i], *y = &b->replays[n];
            const char *class = a->classes[x->class].name;
            for (int c = 0; x->n_tasks == y->n_tasks && strcmp(class, b->classes[y->class].name) == 0 && c < TGI_N_REPLAY_COSTS; c++)
                compare_one(k, false, x->ns[c], y->ns[c], "%s, a task of %llu on %s", what[c], (unsigned long long)x->n_tasks, class);
        }
}

static void compare_times(struct comparison *k, const struct tgi_machine *a, const struct tgi_machine *b)
{
    for (uint32_t i = 0; i < a->n_times; i++)
        for (uint32_t n = 0; n < b->n_times; n++) {
            const struct tgi_machine_time *x = &a->times[i], *y = &b->times[n];
            if (strcmp(x->kernel, y->kernel) == 0 && strcmp(x->arguments, y->arguments) == 0 &&
                strcmp(a->classes[x->class].name, b->classes[y->class].name) == 0) {
                compare_one(k, false, x->median_ns, y->median_ns, "%s (%s) on %s", x->kernel, x->arguments,
                            a->classes[x->class].name);
                break;
            }
        }
}

int tgi_calibrate_compare(const struct tgi_machine *before, const struct tgi_machine *after, struct tgi_drift **drifts_p,
                          uint32_t *n_p, struct tg_error *err)
{
    struct comparison k = {0};
    compare_classes(&k, before, after);
    compare_links(&k, before, after);
    compare_times(&k, before, after);
    compare_replays(&k, before, after);
    if (k.is_out_of_memory) {
        free(k.list);
        return tgi_error_memory(err, "comparing machines");
    }
    *drifts_p = k.list;
    *n_p = k.n;
    return 0;
}
