/* Collectives through NCCL, loaded when first needed.
 *
 * One communicator per set of devices, made when first used and kept; ranks follow the order of the tiles.
 * Operations of one communicator are enqueued in one order, by one thread.  Errors are polled
 * (ncclCommGetAsyncError); after one, every communicator is aborted first, then freed, with a bound on the
 * wait, and the devices count as lost to collectives: later ones fail with the first error's text. */
#ifndef TGI_GPU_COLLECTIVE_H
#define TGI_GPU_COLLECTIVE_H

#include "gpu/device.h"

/* As the slots of struct tgi_device_ops.  can_collect: the library is there, no device twice, the type and op
 * are NCCL's. */
bool tgi_cuda_can_collect(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint32_t n_ranks,
                          const uint32_t *device_of);
/* Makes what a collective over these lanes needs, which is no part of a graph it is captured into.  TG_E_COLLECTIVE: the library
 * is lost. */
int tgi_cuda_collective_prepare(struct tgi_cuda *cuda, uint32_t n_ranks, const uint32_t *lane_of, struct tg_error *err);
uint64_t tgi_cuda_collect_scratch(const struct tgi_op *op, uint64_t tile_bytes);
int tgi_cuda_collect(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint64_t n_elems, uint32_t n_ranks,
                     const uint64_t *tiles, const uint64_t *scratch, const uint32_t *lane_of, struct tg_error *err);
int tgi_cuda_give_up(struct tgi_devices *ds, const struct tgi_op *op, uint32_t n_ranks, const uint32_t *lane_of,
                     uint32_t limit_ms, struct tg_error *err);
/* The same, once: as the slot. */
int tgi_cuda_poll(struct tgi_devices *ds, struct tg_error *err);
/* Asynchronous errors of all communicators; 0 or TG_E_COLLECTIVE naming collective and devices. */
int tgi_cuda_collective_poll(struct tgi_cuda *cuda, struct tg_error *err);
/* The library's version ("2.28.9"), which needs no device; TG_E_NO_LIBRARY: not there, or too old. */
int tgi_nccl_version(char *text, size_t size, struct tg_error *err);
void tgi_cuda_collective_close(struct tgi_cuda *cuda);

#endif
