/* What a recorded run executed: the tasks of the outermost graph, and those of bodies, each time they
 * ran; and the longest path through all of it by the measured times, which no schedule beats. */
#ifndef TGI_IO_SCHEDULE_H
#define TGI_IO_SCHEDULE_H

#include "graph/model.h"
#include "io/critical_path.h"
#include "sched/record.h"

/* A graph that was executed once: part 0 the outermost one, the others rounds of bodies, in the order
 * they began. */
struct tgi_part {
    const struct tg_graph *graph;
    const struct tgi_span *spans; /* by task */
    uint64_t first;               /* number of its first task among those of all parts */
    uint32_t parent, parent_task; /* the control task whose round it is; TG_NONE: none */
    uint32_t previous;            /* the round before; TG_NONE: none */
    struct tgi_critical_path path;
    bool is_critical;             /* `path` is a piece of the whole's */
};

struct tgi_schedule {
    struct tgi_part *parts;
    uint32_t n_parts;
    uint64_t n_tasks;   /* of all parts, control tasks included */
    bool is_whole;      /* false: there were more rounds than were recorded */
    double critical_ns; /* length of the longest path */
};

/* spans and rounds as in sched/record.h, and must outlive the schedule; rounds NULL: none. */
int tgi_schedule_create(const struct tg_graph *g, const struct tgi_span *spans, const struct tgi_rounds *rounds,
                        struct tgi_schedule *schedule_p, struct tg_error *err);
void tgi_schedule_fini(struct tgi_schedule *schedule);

/* Whether a worker was busy with the task: it ran, and was more than a frame around the tasks of a body. */
static inline bool tgi_part_has_work(const struct tgi_part *part, uint32_t task)
{
    return part->spans[task].end_ns > 0 && tgi_graph_op(part->graph, task)->kind < TGI_OP_REPEAT;
}

#endif
