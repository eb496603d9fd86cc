/* Clusters (mem/cluster.h) on CUDA devices: what commands are as tasks of one, and one brought to a device, where a node of a graph
 * runs it as a kernel (executor.h) that has its blocks there all at once; on several devices as many nodes, without an order among them. */
#ifndef TGI_GPU_CLUSTER_H
#define TGI_GPU_CLUSTER_H

#include "gpu/device.h"
#include "mem/program.h"

/* As the slots of struct tgi_device_ops. */
bool tgi_cuda_resident_call(struct tgi_devices *ds, const struct tgi_program *program, const struct tgi_command *command,
                            struct tgi_resident_call *call_p, const char **why_p);
bool tgi_cuda_resident_is_compiled(struct tgi_devices *ds, uint32_t device, const struct tgi_cluster *cluster);
bool tgi_cuda_resident_spreads(struct tgi_devices *ds, const uint32_t *devices, uint32_t n, const char **why_p);
int tgi_cuda_resident_room(struct tgi_devices *ds, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err);

/* A cluster's tables on its devices, all zero where workers write.  TG_E_UNSUPPORTED: its blocks cannot be there all at once. */
struct tgi_cuda_cluster;
int tgi_cuda_cluster_create(struct tgi_cuda *cuda, struct tgi_cluster *cluster, struct tgi_cuda_cluster **cluster_p, struct tg_error *err);
/* Nothing of it may be in flight.  Takes NULL. */
void tgi_cuda_cluster_destroy(struct tgi_cuda *cuda, struct tgi_cuda_cluster *cluster);
/* The node on the i-th of its devices; its parameters last as long as the cluster. */
CUDA_KERNEL_NODE_PARAMS tgi_cuda_cluster_node(struct tgi_cuda_cluster *cluster, uint32_t i);
/* What has gone wrong since the last call, as graph_fault of struct tgi_device_ops. */
int tgi_cuda_cluster_fault(struct tgi_cuda *cuda, struct tgi_cuda_cluster *cluster, uint64_t *owner_p, struct tg_error *err);
/* Whether it is this one, or one that does the same. */
bool tgi_cuda_cluster_is(const struct tgi_cuda_cluster *cluster, const struct tgi_cluster *other);
/* As graph_times of struct tgi_device_ops. */
int tgi_cuda_cluster_times(struct tgi_cuda *cuda, struct tgi_cuda_cluster *cluster, uint64_t *times_p, struct tg_error *err);
/* Its workers leave at their next wait. */
int tgi_cuda_cluster_abort(struct tgi_cuda *cuda, struct tgi_cuda_cluster *cluster, struct tg_error *err);

#endif
