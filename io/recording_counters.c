#include "io/recording_counters.h"

#include <stdlib.h>

#include "graph/error.h"

/* Windows of the rate: fewer than steps, so that each holds some tasks. */
enum { N_WINDOWS = 200, N_OF_TASKS = 3 };

static struct tgi_counter *add(struct tgi_counters *all, const char *name, enum tgi_counter_unit unit, uint32_t most)
{
    struct tgi_counter *c = &all->counters[all->n];
    *c = (struct tgi_counter){.unit = unit, .steps = malloc(((size_t)most + 1) * sizeof(*c->steps))};
    snprintf(c->name, sizeof(c->name), "%s", name);
    all->n += c->steps != NULL;
    return c->steps ? c : NULL;
}

/* changes: room for two of each task. */
static bool add_depth(const struct tgi_recording *r, struct tgi_counters *all, bool is_waiting, struct tgi_change *changes)
{
    struct tgi_counter *c = add(all, is_waiting ? "ready, waiting" : "running", TGI_COUNTS_TASKS, TGI_MOST_COUNTER_STEPS);
    uint64_t n = 0;
    for (uint64_t t = 0; t < r->n_tasks && c; t++) {
        const struct tgi_recording_task *task = &r->tasks[t];
        uint64_t from = is_waiting ? task->ready_ns : task->start_ns, to = is_waiting ? task->start_ns : task->end_ns;
        if (!tgi_recording_has_work(r, t) || to <= from)
            continue;
        changes[n++] = (struct tgi_change){from, 1};
        changes[n++] = (struct tgi_change){to, -1};
    }
    if (c)
        c->n = tgi_steps_make(changes, n, TGI_MOST_COUNTER_STEPS, c->steps);
    return c;
}

/* Tasks that ended in each of some windows of time. */
static bool add_rate(const struct tgi_recording *r, struct tgi_counters *all)
{
    struct tgi_counter *c = add(all, "tasks a second", TGI_COUNTS_RATE, N_WINDOWS + 1);
    uint64_t last_ns = 0;
    for (uint64_t t = 0; t < r->n_tasks; t++)
        last_ns = tgi_recording_has_work(r, t) && r->tasks[t].end_ns > last_ns ? r->tasks[t].end_ns : last_ns;
    if (!c || last_ns == 0)
        return c;
    uint64_t window_ns = last_ns / N_WINDOWS + 1;
    c->n = (uint32_t)(last_ns / window_ns) + 2;
    for (uint32_t i = 0; i < c->n; i++)
        c->steps[i] = (struct tgi_step){i * window_ns, 0};
    for (uint64_t t = 0; t < r->n_tasks; t++)
        if (tgi_recording_has_work(r, t))
            c->steps[r->tasks[t].end_ns / window_ns].value++;
    for (uint32_t i = 0; i < c->n; i++)
        c->steps[i].value = (uint64_t)((double)c->steps[i].value * 1e9 / (double)window_ns + 0.5);
    return true;
}

static bool add_memory(const struct tgi_recording *r, struct tgi_counters *all)
{
    for (uint64_t i = 0, end = 0; i < r->n_memory; i = end) {
        char node[64], name[96];
        while (end < r->n_memory && r->memory[end].node == r->memory[i].node)
            end++;
        snprintf(name, sizeof(name), "%.48s memory", tgi_recording_node_name(r, r->memory[i].node, node, sizeof(node)));
        struct tgi_counter *c = end - i < UINT32_MAX ? add(all, name, TGI_COUNTS_BYTES, (uint32_t)(end - i)) : NULL;
        if (!c)
            return false;
        c->node = r->memory[i].node;
        for (uint64_t k = i; k < end; k++)
            c->steps[c->n++] = (struct tgi_step){r->memory[k].at_ns, r->memory[k].bytes};
    }
    return true;
}

int tgi_recording_counters_create(const struct tgi_recording *r, struct tgi_counters *counters_p, struct tg_error *err)
{
    struct tgi_counters all = {0, calloc(N_OF_TASKS + r->n_devices + 1, sizeof(*all.counters))};
    struct tgi_change *changes = malloc((2 * r->n_tasks + 1) * sizeof(*changes));
    bool has_memory = all.counters && changes && add_depth(r, &all, false, changes) && add_depth(r, &all, true, changes) &&
                      add_rate(r, &all) && add_memory(r, &all);
    free(changes);
    if (!has_memory) {
        tgi_recording_counters_fini(&all);
        return tgi_error_memory(err, "the counters of a record");
    }
    *counters_p = all;
    return 0;
}

void tgi_recording_counters_fini(struct tgi_counters *counters)
{
    for (uint32_t i = 0; i < counters->n; i++)
        free(counters->counters[i].steps);
    free(counters->counters);
    *counters = (struct tgi_counters){0, NULL};
}
