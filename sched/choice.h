/* Which of several ways a task is executed, by measured time.
 *
 * Tasks that are alike (alike.h) have a choice in common, for each kind of device in use and for CPUs.  What was measured
 * in this process and in earlier ones (history.h) decides: the way with the shortest median.  A way of which too little is
 * known gets a few tasks first, one way at a time, and is left alone at once if its first time is far from the best.
 * Those tasks have their device for themselves: beside others they would take several times as long or not, as it
 * happens, and the way that is in use would always look worse than one that is tried.  Times of tasks beside others are kept apart, for
 * placement.
 *
 * CPUs are tried where they could win at all: where they may run the task and the device takes longer than a task that
 * comes to the host and goes back again has to wait.
 *
 * Of a run.  The submitter calls what begins, takes and notes; before the first start any one thread may ask. */
#ifndef TGI_SCHED_CHOICE_H
#define TGI_SCHED_CHOICE_H

#include "mem/device.h"
#include "sched/alike.h"
#include "sched/history.h"
#include "sched/record.h"

struct tg_run;
struct tgi_choices;

/* What a task that runs on the other side than its neighbours waits for beside its data: to be seen to be done, and
 * to be enqueued again. */
#define TGI_CHOICE_CROSSING_NS 20000.0

/* codes: by op, NULL: nothing for devices; they last as long as this, like the history. */
int tgi_choices_create(struct tg_run *run, struct tgi_devices *devices, struct tgi_code *const *codes,
                       struct tgi_history *history, struct tgi_choices **choices_p, struct tg_error *err);
void tgi_choices_destroy(struct tgi_choices *choices);

/* By task of a graph: its class; TG_NONE: it has no choice. */
const uint32_t *tgi_choices_classes(const struct tgi_choices *choices, const struct tg_graph *graph);
/* Median time of the best way, 0: nothing was measured. */
double tgi_choices_device_ns(const struct tgi_choices *choices, uint32_t class, uint32_t device);
double tgi_choices_host_ns(const struct tgi_choices *choices, uint32_t class);
/* Whether a task of the class should go to a CPU for once, so that its time there is known; counts it.  The caller knows
 * that CPUs may run it. */
bool tgi_choices_try_host(struct tgi_choices *choices, uint32_t class);

/* A start begins; true: times have changed since the last one. */
bool tgi_choices_begin(struct tgi_choices *choices);
enum tgi_timing {
    TGI_NOT_TIMED,
    TGI_TIMED,      /* somebody wants to know how long it takes */
    TGI_TIMED_ALONE /* if nothing else is executed on the device */
};
/* The way the next task of a class goes on a device, and what is to be seen of it. */
uint32_t tgi_choices_take(struct tgi_choices *choices, uint32_t class, uint32_t device, enum tgi_timing *timing_p);
/* The best one known, for a task whose time nobody will see. */
uint32_t tgi_choices_best(const struct tgi_choices *choices, uint32_t class, uint32_t device);
/* The same, but a kernel where the best one is a library's call and there is a kernel. */
uint32_t tgi_choices_best_kernel(const struct tgi_choices *choices, uint32_t class, uint32_t device);
/* What the best one takes by itself if it is such a call, INFINITY if that is not known; else 0. */
double tgi_choices_call_ns(const struct tgi_choices *choices, uint32_t class, uint32_t device);
void tgi_choices_note(struct tgi_choices *choices, uint32_t class, uint32_t device, uint32_t way, bool was_alone, double ns);
void tgi_choices_note_host(struct tgi_choices *choices, uint32_t class, double ns);

/* Times inside graphs, from runs that were recorded: of a task's kernel as a node, beyond an empty one's, and of its body inside a resident
 * kernel.  They tell whether clusters gain (resident_gain.h), and not which way a task goes. */
enum tgi_inside { TGI_INSIDE_GRAPH, TGI_INSIDE_RESIDENT };
/* Median, 0: nothing was measured. */
double tgi_choices_inside_ns(const struct tgi_choices *choices, uint32_t class, uint32_t device, enum tgi_inside where);
void tgi_choices_note_inside(struct tgi_choices *choices, uint32_t class, uint32_t device, enum tgi_inside where, double ns);

/* What placement and urgency go by now, in tasks of a graph. */
void tgi_choices_sources(const struct tgi_choices *choices, const struct tg_graph *graph, struct tgi_run_times *times_p);
/* The ways in which tasks of an op were executed in the last start, "cublas dgemm (60), cuda builtin gemm f64 (3)"; empty: none was. */
void tgi_choices_text(const struct tgi_choices *choices, uint32_t op, char *text, size_t size);

#endif
