/* Which node each task of a run executes on, decided before it starts.
 *
 * A task that only CPUs or only devices can execute has no choice; one that both can goes to a device, unless it
 * asks for a CPU.  Copies, fills and barriers go where their data or their neighbours are.  Among devices: the one a
 * task asks for (on, prefer), else the owner of the first tile it writes, else the one that would be done first
 * with what was placed there so far and with the copies of what the task reads.  Times are measured ones (choice.h), else
 * those that are declared, else rough models of the devices.  A task goes to the CPUs all the same if it was measured on both
 * and is done earlier there, data and waiting for the other side included.  A
 * tile's owner is its home, or the device that first writes it, so that a tile stays where it is.  A graph that says nothing of homes, and
 * writes every tile once, is cut into parts for the devices before (partition.h): tiles are at home in theirs. */
#ifndef TGI_SCHED_PLACEMENT_H
#define TGI_SCHED_PLACEMENT_H

#include "mem/replica.h"
#include "sched/choice.h"
#include "sched/runtime.h"
#include "sched/urgency.h"

struct tgi_placement;

/* For the graph of a run and all its bodies; code has been resolved.  TG_E_NO_VARIANT, TG_E_NO_DEVICE name the task. */
int tgi_placement_create(struct tg_run *run, struct tgi_devices *devices, struct tgi_code *const *codes,
                         struct tgi_choices *choices, struct tgi_placement **placement_p, struct tg_error *err);
void tgi_placement_destroy(struct tgi_placement *placement);
/* What was weighed, of a run that is recorded (sched/record.h); NULL: there is nothing. */
const struct tgi_weighed *tgi_placement_weighed(const struct tgi_placement *placement, const struct tg_graph *graph, uint32_t *n_p);
/* By task: its node, and whether it passes through the submitter.  graph: the run's, or a body of it. */
void tgi_placement_of(const struct tgi_placement *placement, const struct tg_graph *graph, const uint8_t **node_p,
                      const uint8_t **via_p);
/* Of the tasks of a graph, by what was known before the run, or at the last update.  It lasts as long as the placement;
 * contents change with updates. */
const struct tgi_urgency *tgi_placement_urgency(const struct tgi_placement *placement, const struct tg_graph *graph);
/* Times have changed. */
void tgi_placement_update(struct tgi_placement *placement);
/* Whether any task is on a device, or could be. */
bool tgi_placement_has_devices(const struct tgi_placement *placement);
bool tgi_placement_could_have_devices(const struct tgi_placement *placement);
/* Whether a task may run on a device. */
bool tgi_placement_allows(const struct tgi_placement *placement, const struct tg_graph *graph, uint32_t task, uint32_t device);
/* Roughly, until links are measured. */
double tgi_placement_copy_ns(const struct tgi_devices *devices, uint32_t from_node, uint32_t to_node, uint64_t bytes);
/* The node of each tile of a collective that is performed by devices. */
void tgi_placement_ranks(const struct tgi_placement *placement, struct tgi_operand *operands, uint32_t n);

#endif
