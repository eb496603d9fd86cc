/* The module of the resident executor's kernels, embedded with CUDA=1, and what their host side must know.
 *
 *   tgk_resident_warp(struct tgi_resident_view), tgk_resident_thread(..)    one epoch of a static program: a cooperative
 *       launch of n_blocks blocks of 32 * n_workers_each threads with tgi_resident_shared_bytes() of dynamic shared memory
 *   tgk_resident_dynamic(struct tgi_resident_view, struct tgi_resident_pool)    one epoch of a dynamic program, the same with
 *       tgi_resident_local_bytes()
 *   tgk_probe(struct tgi_probe)       what a hop costs, see probe.h
 *   tgk_resident_nothing()            an empty kernel, for CUDA graphs to be compared with
 *   tgk_service(struct tgi_service_view)    a service (mem/service_view.h): a cooperative launch of blocks of 32 * (n_workers_each
 *       + 1) threads, with TGI_SERVICE_RELAY_BYTES more than tgi_resident_shared_bytes() has for counters rounded up to four
 *   tgk_doorbell(..)                  a bare round trip, see gpu/service/doorbell.cu */
#ifndef TGI_GPU_RESIDENT_MODULE_H
#define TGI_GPU_RESIDENT_MODULE_H

#include <stddef.h>

/* NULL: built with CUDA=0. */
const void *tgi_resident_fatbin(size_t *length_p);
/* A module of its own:
 *   tgk_resident_run(struct tgi_resident_view)    as tgk_resident_warp, TGI_RESIDENT_RUN_WARPS a block, with bodies for CALLs.
 *   tgk_resident_run_dynamic(struct tgi_resident_view, struct tgi_resident_pool, struct tgi_resident_nursery)    the same for dynamic programs,
 *       with tgi_resident_local_bytes(); generated only
 *   tgk_resident_run_spread(struct tgi_resident_view, struct tgi_resident_peers)    the same for programs on several devices, of n_blocks /
 *       n_devices blocks on each; generated only */
const void *tgi_resident_run_fatbin(size_t *length_p);
/* Another, for programs on several devices (mem/resident_peers.h), to be loaded on each:
 *   tgk_resident_peers(struct tgi_resident_view, struct tgi_resident_peers)    as tgk_resident_warp, of n_blocks / n_devices blocks
 *   tgk_peers_probe(struct tgi_peers_probe)    what a hop between devices costs, see peers_probe.h */
const void *tgi_resident_peers_fatbin(size_t *length_p);

#endif
