/* The CUDA driver: its entry points, loaded at run time, and what it says about the machine.
 *
 * One table of pointers serves the process.  Nothing here creates a context. */
#ifndef TGI_GPU_DRIVER_H
#define TGI_GPU_DRIVER_H

#include "gpu/cuda_api.h"
#include "graph/tgraph.h"

struct tgi_cuda_api {
    int version;      /* of the driver, as 1000 * major + 10 * minor */
    const char *path; /* what was loaded */
#define TGI_CUDA_POINTER_X(name, symbol, since, params) CUresult(*name) params;
    TGI_CUDA_CALLS(TGI_CUDA_POINTER_X)
#undef TGI_CUDA_POINTER_X
};

/* Loads the driver, initialises it and sees that there is a device; the first caller does the work,
 * the others get the same table.  The library is $TGRAPH_CUDA_DRIVER if that is set and not empty,
 * else libcuda.so.1.  TG_E_NO_LIBRARY: it cannot be loaded.  TG_E_UNSUPPORTED: it lacks an entry
 * point that every driver from CUDA 12.0 on has.  TG_E_NO_DEVICE: it has no device, or cannot be
 * initialised.  After a failure the next call tries again.  Each success is paired with a
 * tgi_cuda_release().  Any thread. */
int tgi_cuda_retain(const struct tgi_cuda_api **api_p, struct tg_error *err);
/* Whether the last attempt failed although there is a driver that does not say that there is no device: who goes on without devices
 * says so.  Any thread. */
bool tgi_cuda_has_refused(void);
/* After the last one the table is gone; the library's code stays in the process, because libraries
 * that use the driver themselves may still point into it. */
void tgi_cuda_release(void);

/* Every result of a driver call passes through here.  Returns 0 if rc is CUDA_SUCCESS; otherwise fills
 * err with what was attempted (the format), the call, and the driver's name and text for rc, and
 * returns a status: TG_E_NO_MEMORY, TG_E_NO_DEVICE, TG_E_UNSUPPORTED, TG_E_COMPILE (images that
 * cannot be loaded), TG_E_TASK_FAILED (faults of kernels), else TG_E_DRIVER.
 * Use:  rc = TGI_CUDA_CHECK(api, err, cuMemAlloc, (&p, n), "allocating %zu bytes on cuda:%d", n, d); */
int tgi_cuda_check(const struct tgi_cuda_api *api, CUresult rc, const char *call, struct tg_error *err,
                   const char *format, ...) TG_PRINTF(5, 6);
#define TGI_CUDA_CHECK(api, err, name, args, ...) \
    tgi_cuda_check((api), (api)->name args, #name, (err), __VA_ARGS__)

/* True for the results after which the process cannot use CUDA any more, on any device. */
bool tgi_cuda_is_fatal(CUresult rc);

enum tgi_cuda_link {
    TGI_CUDA_LINK_NONE, /* no direct access: copies pass through the host */
    TGI_CUDA_LINK_PCIE,
    TGI_CUDA_LINK_NVLINK /* told by native atomics between the two, which PCIe does not carry */
};

#define TGI_CUDA_MAX_DEVICES 32

struct tgi_cuda_device_info {
    CUdevice device;
    int ordinal;
    char name[128];
    CUuuid uuid;
    char pci_id[20]; /* "0000:1b:00.0", as in sysfs */
    int numa_node;   /* -1: unknown, or the machine has one */
    size_t memory_bytes;
    int cc_major, cc_minor;
    int n_sms;
    int max_threads_per_block, max_threads_per_sm, max_blocks_per_sm;
    int max_grid_x, max_grid_y, max_grid_z;
    int max_block_x, max_block_y, max_block_z;
    int shared_per_block, shared_per_block_optin, shared_per_sm;
    int registers_per_sm;
    int l2_bytes;
    int clock_khz;
    int n_copy_engines;
    bool has_cooperative_launch, has_memory_pools, is_integrated;
};

struct tgi_cuda_machine {
    int n_devices;
    struct tgi_cuda_device_info *device;
    /* link[from * n_devices + to]; NONE on the diagonal. */
    enum tgi_cuda_link *link;
    int *link_rank; /* the driver's relative performance rank, 0 is best; -1: no link */
};

/* Describes at most TGI_CUDA_MAX_DEVICES devices; more are TG_E_LIMIT. */
int tgi_cuda_machine_init(const struct tgi_cuda_api *api, struct tgi_cuda_machine *machine,
                          struct tg_error *err);
void tgi_cuda_machine_fini(struct tgi_cuda_machine *machine);

/* The NUMA node of a PCI device, from <sysfs>/bus/pci/devices; -1 if it is not told. */
int tgi_cuda_numa_node(const char *sysfs, const char *pci_id);
const char *tgi_cuda_link_name(enum tgi_cuda_link link);

#endif
