/* Which device has which tasks of a graph that does not say where its tiles are at home: so that all devices have as much to do at any time,
 * and little is copied from one to another.
 *
 * Level by level, counted from the roots, each device gets an equal part of the work.  A task goes where most of what it reads was written, and if
 * that is nowhere, beside its neighbours in program order.  Where a device has half as much again as its part, which is no more than a tenth of a
 * millisecond, its tasks next to another's go there until both have theirs; until then the border between them stays and is
 * crossed in one direction, as the longest way would go to and fro across one that moves at each level.  So a wavefront or a stencil is cut
 * into as many pieces as there are devices, of which only the edges are copied, and a chain stays where it is.
 *
 * Only graphs are cut so in which every tile is written once.  Where tiles are written again and again whoever wrote one first keeps it
 * (placement.h): levels would tear apart what belongs together. */
#ifndef TGI_SCHED_PARTITION_H
#define TGI_SCHED_PARTITION_H

#include "graph/model.h"

/* weight: by task, of its work in nanoseconds, above 0; 0: it is not to be given to anybody.  device_of: by task, the caller's: its device, less than
 * n_devices, which is TGI_MAX_DEVICES at most, or TG_NONE for those without weight, and for all tasks if the graph is not cut.  Devices count as alike.  The same graph
 * and weights give the same.  TG_E_NO_MEMORY. */
int tgi_partition_find(const struct tg_graph *graph, const float *weight, uint32_t n_devices, uint32_t *device_of, struct tg_error *err);

#endif
