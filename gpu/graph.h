/* Programs (mem/program.h) as CUDA graphs.
 *
 * Each command is one node: a kernel, a copy, a set, an empty node, or a child graph where the driver has to be asked what a
 * command consists of (libraries' calls, patterns of 8 and 16 bytes, launches with clusters): that is captured from the
 * command's lane, which at that moment has nothing else to do with the graph.  What a device decides about is a kernel of our own
 * (decide.h) and a conditional node, whose body is made of the body's commands.  Nodes and edges are added in the program's order,
 * so that the same program makes the same graph.  A split program (mem/split.h) becomes a graph for each device, whose flags are set and
 * awaited by kernels of our own (flag.h). */
#ifndef TGI_GPU_GRAPH_H
#define TGI_GPU_GRAPH_H

#include "gpu/device.h"
#include "mem/program.h"

/* As the slots of struct tgi_device_ops.  create: TG_E_UNSUPPORTED if a command cannot be captured, which may be otherwise once
 * a library has been called. */
int tgi_cuda_graph_create(struct tgi_devices *ds, const struct tgi_program *program, struct tgi_device_graph **graph_p,
                          uint64_t *owner_p, struct tg_error *err);
void tgi_cuda_graph_destroy(struct tgi_devices *ds, struct tgi_device_graph *graph);
int tgi_cuda_graph_launch(struct tgi_devices *ds, struct tgi_device_graph *graph, uint32_t lane, struct tg_error *err);
int tgi_cuda_graph_update(struct tgi_devices *ds, struct tgi_device_graph *graph, const struct tgi_program *from,
                          const struct tgi_program *to, uint64_t *owner_p, struct tg_error *err);
const uint64_t *tgi_cuda_graph_rounds(struct tgi_device_graph *graph);
int tgi_cuda_graph_times(struct tgi_devices *ds, struct tgi_device_graph *graph, const struct tgi_program *program,
                         const uint64_t **ns_p, struct tg_error *err);
int tgi_cuda_graph_clock(struct tgi_devices *ds, struct tgi_device_graph *graph, uint32_t device, uint64_t *device_ns_p,
                         uint64_t *host_ns_p, struct tg_error *err);

int tgi_cuda_graph_insert(struct tgi_devices *ds, const struct tgi_program *program, void *graph, void *const *after, size_t n_after,
                          void **node_p, uint64_t *owner_p, struct tg_error *err);
int tgi_cuda_graph_fault(struct tgi_devices *ds, struct tgi_device_graph *graph, uint64_t *owner_p, struct tg_error *err);
int tgi_cuda_can_signal(struct tgi_devices *ds, uint32_t from, uint32_t to, bool *can_p, struct tg_error *err);
int tgi_cuda_graph_abort(struct tgi_devices *ds, struct tgi_device_graph *graph, struct tg_error *err);
int tgi_cuda_graph_cluster_times(struct tgi_devices *ds, struct tgi_device_graph *graph, const struct tgi_cluster *cluster,
                                 uint64_t *times_p, struct tg_error *err);

/* graph_capture.c: what a command consists of; the caller destroys it.  args: of a launch. */
int tgi_cuda_graph_capture(struct tgi_cuda *cuda, const struct tgi_program *program, const struct tgi_command *command,
                           void **args, CUgraph *child_p, struct tg_error *err);

#endif
