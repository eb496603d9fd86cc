/* The rounds of a control task come one after the other, so it is as long as their longest paths
 * together.  Parts come after the parts that contain them: from the last to the first, each adds its
 * length to the weight of its control task. */
#include "io/schedule.h"

#include <stdlib.h>

#include "graph/error.h"

static void list_parts(struct tgi_schedule *s, const struct tg_graph *g, const struct tgi_span *spans,
                       const struct tgi_rounds *rounds)
{
    s->parts[s->n_parts++] = (struct tgi_part){g, spans, 0, TG_NONE, TG_NONE, TG_NONE, {NULL, 0, 0}, true};
    s->n_tasks = g->n_tasks;
    for (const struct tgi_round *r = rounds ? rounds->first : NULL; r; r = r->next) {
        uint32_t parent = r->parent ? r->parent->index + 1 : 0,
                 previous = r->previous ? r->previous->index + 1 : TG_NONE;
        s->parts[s->n_parts++] = (struct tgi_part){
            r->graph, r->spans, s->n_tasks, parent, r->parent_task, previous, {NULL, 0, 0}, false};
        s->n_tasks += r->graph->n_tasks;
    }
}

static int find_paths(struct tgi_schedule *s, struct tg_error *err)
{
    double *weight = calloc(s->n_tasks + 1, sizeof(*weight));
    int rc = weight ? 0 : tgi_error_memory(err, "the critical path of a run");
    for (uint32_t i = s->n_parts; i-- > 0 && rc == 0;) {
        struct tgi_part *part = &s->parts[i];
        double *own = weight + part->first;
        for (uint32_t t = 0; t < part->graph->n_tasks; t++)
            if (tgi_part_has_work(part, t))
                own[t] = (double)(part->spans[t].end_ns - part->spans[t].start_ns);
        rc = tgi_critical_path_find(part->graph, own, &part->path, err);
        if (rc == 0 && part->parent != TG_NONE)
            weight[s->parts[part->parent].first + part->parent_task] += part->path.length;
    }
    free(weight);
    return rc;
}

static bool is_on_path(const struct tgi_critical_path *path, uint32_t task)
{
    for (uint32_t i = 0; i < path->n_tasks; i++)
        if (path->tasks[i] == task)
            return true;
    return false;
}

static void mark_critical(struct tgi_schedule *s)
{
    for (uint32_t i = 1; i < s->n_parts; i++) {
        struct tgi_part *part = &s->parts[i];
        const struct tgi_part *parent = &s->parts[part->parent];
        /* All rounds of a control task are on it, or none. */
        part->is_critical = part->previous != TG_NONE
                                ? s->parts[part->previous].is_critical
                                : parent->is_critical && is_on_path(&parent->path, part->parent_task);
    }
}

int tgi_schedule_create(const struct tg_graph *g, const struct tgi_span *spans, const struct tgi_rounds *rounds,
                        struct tgi_schedule *schedule_p, struct tg_error *err)
{
    struct tgi_schedule s = {.is_whole = !rounds || rounds->n_lost == 0};
    s.parts = calloc((rounds ? rounds->n : 0) + 1, sizeof(*s.parts));
    if (!s.parts)
        return tgi_error_memory(err, "the schedule of a run");
    list_parts(&s, g, spans, rounds);
    int rc = find_paths(&s, err);
    if (rc) {
        tgi_schedule_fini(&s);
        return rc;
    }
    mark_critical(&s);
    s.critical_ns = s.parts[0].path.length;
    *schedule_p = s;
    return 0;
}

void tgi_schedule_fini(struct tgi_schedule *schedule)
{
    for (uint32_t i = 0; schedule->parts && i < schedule->n_parts; i++)
        tgi_critical_path_fini(&schedule->parts[i].path);
    free(schedule->parts);
    schedule->parts = NULL;
    schedule->n_parts = 0;
}
