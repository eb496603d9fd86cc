/* Loading the CUDA driver and asking it about the machine.
 *
 * The table is built under a lock and published by the same lock: a caller of retain gets either the
 * complete table or an error. */
#include "gpu/driver.h"

#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

static const char default_path[] = "libcuda.so.1";

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct tgi_cuda_api api;
    char path[512];
    void *handle;
    uint32_t n_users;
    bool has_refused; /* the last time that it was to start, for another reason than that there is no device */
} loaded; /* guarded by load_lock; `api` does not change while n_users > 0 */

/* ---- Errors -------------------------------------------------------------------------------*/

bool tgi_cuda_is_fatal(CUresult rc)
{
    switch ((int)rc) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
        return true;
    default:
        return false;
    }
}

static int status_of(CUresult rc)
{
    if (tgi_cuda_is_fatal(rc))
        return TG_E_TASK_FAILED;
    switch ((int)rc) {
    case CUDA_ERROR_OUT_OF_MEMORY:
        return TG_E_NO_MEMORY;
    case CUDA_ERROR_NO_DEVICE:
    case CUDA_ERROR_INVALID_DEVICE:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_SYSTEM_NOT_READY:
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
        return TG_E_NO_DEVICE;
    case CUDA_ERROR_STUB_LIBRARY:
        return TG_E_NO_LIBRARY;
    case CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER:
    case CUDA_ERROR_NOT_SUPPORTED:
    case CUDA_ERROR_PEER_ACCESS_UNSUPPORTED:
        return TG_E_UNSUPPORTED;
    case CUDA_ERROR_INVALID_IMAGE:
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
        return TG_E_COMPILE;
    default:
        return TG_E_DRIVER;
    }
}

int tgi_cuda_check(const struct tgi_cuda_api *api, CUresult rc, const char *call, struct tg_error *err,
                   const char *format, ...)
{
    if (rc == CUDA_SUCCESS)
        return 0;
    char attempt[400];
    const char *name = NULL, *text = NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(attempt, sizeof attempt, format, args);
    va_end(args);
    if (api->cuGetErrorName(rc, &name) != CUDA_SUCCESS || !name)
        name = "an unknown result";
    if (api->cuGetErrorString(rc, &text) != CUDA_SUCCESS || !text)
        text = "the driver has no text for it";
    return tgi_error(err, status_of(rc), "%s: %s returned %s (%d): %s", attempt, call, name, (int)rc, text);
}

/* ---- Loading ------------------------------------------------------------------------------*/

/* ISO C has no conversion between pointers to objects and to functions; POSIX has, by their bytes. */
static bool find_symbol(void *handle, const char *symbol, void *slot)
{
    void *address = dlsym(handle, symbol);
    memcpy(slot, &address, sizeof address);
    return address != NULL;
}

static int fill_table(void *handle, const char *path, struct tgi_cuda_api *api, struct tg_error *err)
{
#define FIND_X(name, symbol, since, params)                                                                 \
    if (!find_symbol(handle, #symbol, &api->name) && since == 0)                                            \
        return tgi_error(err, TG_E_UNSUPPORTED,                                                             \
                         "loading the CUDA driver: %s has no %s; a driver of CUDA 12.0 or later is needed", \
                         path, #symbol);
    TGI_CUDA_CALLS(FIND_X)
#undef FIND_X
    return 0;
}

static int start_driver(struct tgi_cuda_api *api, const char *path, struct tg_error *err)
{
    int n = 0;
    CUresult answer = api->cuInit(0);
    int rc = tgi_cuda_check(api, answer, "cuInit", err, "initialising the CUDA driver %s", path);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDriverGetVersion, (&api->version), "asking %s for its version", path);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDeviceGetCount, (&n), "counting the devices of %s", path);
    loaded.has_refused = rc && answer != CUDA_ERROR_NO_DEVICE && rc != TG_E_NO_LIBRARY; /* that: it stands for a driver */
    if (rc == 0 && n == 0)
        rc = tgi_error(err, TG_E_NO_DEVICE, "the CUDA driver %s finds no device", path);
    if (rc == TG_E_DRIVER) { /* whatever keeps the driver from starting, there is no device to use */
        rc = TG_E_NO_DEVICE;
        if (err)
            err->status = rc;
    }
    return rc;
}

static int load(struct tg_error *err)
{
    const char *wanted = getenv("TGRAPH_CUDA_DRIVER");
    const char *path = wanted && *wanted ? wanted : default_path;
    if ((size_t)snprintf(loaded.path, sizeof loaded.path, "%s", path) >= sizeof loaded.path)
        return tgi_error(err, TG_E_INVALID, "TGRAPH_CUDA_DRIVER is longer than %zu bytes",
                         sizeof loaded.path - 1);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        const char *why = dlerror();
        return tgi_error(err, TG_E_NO_LIBRARY, "loading the CUDA driver: %s", why ? why : path);
    }
    struct tgi_cuda_api api = {0};
    api.path = loaded.path;
    int rc = fill_table(handle, path, &api, err);
    if (rc == 0)
        rc = start_driver(&api, path, err);
    if (rc) {
        dlclose(handle);
        return rc;
    }
    loaded.api = api;
    loaded.handle = handle;
    return 0;
}

int tgi_cuda_retain(const struct tgi_cuda_api **api_p, struct tg_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&load_lock);
    if (loaded.n_users == 0)
        rc = load(err);
    if (rc == 0) {
        loaded.n_users++;
        *api_p = &loaded.api;
    }
    pthread_mutex_unlock(&load_lock);
    return rc;
}

bool tgi_cuda_has_refused(void)
{
    pthread_mutex_lock(&load_lock);
    bool has_refused = loaded.has_refused;
    pthread_mutex_unlock(&load_lock);
    return has_refused;
}

void tgi_cuda_release(void)
{
    pthread_mutex_lock(&load_lock);
    if (--loaded.n_users == 0) {
        dlclose(loaded.handle);
        loaded.handle = NULL;
    }
    pthread_mutex_unlock(&load_lock);
}

/* ---- The machine --------------------------------------------------------------------------*/

int tgi_cuda_numa_node(const char *sysfs, const char *pci_id)
{
    char path[512];
    int node = -1;
    if ((size_t)snprintf(path, sizeof path, "%s/bus/pci/devices/%s/numa_node", sysfs, pci_id) >= sizeof path)
        return -1;
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    if (fscanf(f, "%d", &node) != 1 || node < -1)
        node = -1;
    fclose(f);
    return node;
}

const char *tgi_cuda_link_name(enum tgi_cuda_link link)
{
    switch (link) {
    case TGI_CUDA_LINK_PCIE:
        return "pcie";
    case TGI_CUDA_LINK_NVLINK:
        return "nvlink";
    default:
        return "none";
    }
}

static int ask_attributes(const struct tgi_cuda_api *api, struct tgi_cuda_device_info *d,
                          struct tg_error *err)
{
    int cooperative = 0, pools = 0, integrated = 0;
    const struct {
        CUdevice_attribute attribute;
        int *value;
    } wanted[] = {
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &d->cc_major},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &d->cc_minor},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &d->n_sms},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, &d->max_threads_per_block},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, &d->max_threads_per_sm},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, &d->max_blocks_per_sm},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, &d->max_grid_x},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, &d->max_grid_y},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, &d->max_grid_z},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, &d->max_block_x},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, &d->max_block_y},
        {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, &d->max_block_z},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, &d->shared_per_block},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &d->shared_per_block_optin},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, &d->shared_per_sm},
        {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, &d->registers_per_sm},
        {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, &d->l2_bytes},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, &d->clock_khz},
        {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, &d->n_copy_engines},
        {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, &cooperative},
        {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, &pools},
        {CU_DEVICE_ATTRIBUTE_INTEGRATED, &integrated},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int rc =
            TGI_CUDA_CHECK(api, err, cuDeviceGetAttribute, (wanted[i].value, wanted[i].attribute, d->device),
                           "asking cuda:%d for attribute %d", d->ordinal, (int)wanted[i].attribute);
        if (rc)
            return rc;
    }
    d->has_cooperative_launch = cooperative != 0;
    d->has_memory_pools = pools != 0;
    d->is_integrated = integrated != 0;
    return 0;
}

static int describe(const struct tgi_cuda_api *api, int ordinal, struct tgi_cuda_device_info *d,
                    struct tg_error *err)
{
    d->ordinal = ordinal;
    int rc = TGI_CUDA_CHECK(api, err, cuDeviceGet, (&d->device, ordinal), "opening cuda:%d", ordinal);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDeviceGetName, (d->name, sizeof d->name, d->device),
                            "asking cuda:%d for its name", ordinal);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDeviceGetUuid, (&d->uuid, d->device), "asking cuda:%d for its UUID",
                            ordinal);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDeviceTotalMem, (&d->memory_bytes, d->device),
                            "asking cuda:%d for its memory", ordinal);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDeviceGetPCIBusId, (d->pci_id, sizeof d->pci_id, d->device),
                            "asking cuda:%d for its place on the bus", ordinal);
    if (rc == 0)
        rc = ask_attributes(api, d, err);
    if (rc)
        return rc;
    d->name[sizeof d->name - 1] = d->pci_id[sizeof d->pci_id - 1] = '\0';
    for (char *p = d->pci_id; *p; p++) /* sysfs writes it in lower case */
        *p = (char)tolower((unsigned char)*p);
    d->numa_node = tgi_cuda_numa_node("/sys", d->pci_id);
    return 0;
}

static int describe_link(const struct tgi_cuda_api *api, const struct tgi_cuda_machine *m, int from, int to,
                         struct tg_error *err)
{
    enum tgi_cuda_link *link = &m->link[from * m->n_devices + to];
    int *rank = &m->link_rank[from * m->n_devices + to];
    CUdevice a = m->device[from].device, b = m->device[to].device;
    int can_access = 0, has_atomics = 0;
    *link = TGI_CUDA_LINK_NONE;
    *rank = -1;
    if (from == to)
        return 0;
    int rc = TGI_CUDA_CHECK(api, err, cuDeviceCanAccessPeer, (&can_access, a, b),
                            "asking whether cuda:%d reaches cuda:%d", from, to);
    if (rc || !can_access)
        return rc;
    rc = TGI_CUDA_CHECK(api, err, cuDeviceGetP2PAttribute,
                        (&has_atomics, CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED, a, b),
                        "asking how cuda:%d reaches cuda:%d", from, to);
    if (rc == 0)
        rc = TGI_CUDA_CHECK(api, err, cuDeviceGetP2PAttribute,
                            (rank, CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK, a, b),
                            "asking how fast cuda:%d reaches cuda:%d", from, to);
    if (rc == 0)
        *link = has_atomics ? TGI_CUDA_LINK_NVLINK : TGI_CUDA_LINK_PCIE;
    return rc;
}

int tgi_cuda_machine_init(const struct tgi_cuda_api *api, struct tgi_cuda_machine *machine,
                          struct tg_error *err)
{
    struct tgi_cuda_machine m = {0};
    int rc = TGI_CUDA_CHECK(api, err, cuDeviceGetCount, (&m.n_devices), "counting the devices");
    if (rc)
        return rc;
    if (m.n_devices > TGI_CUDA_MAX_DEVICES)
        return tgi_error(err, TG_E_LIMIT,
                         "the machine has %d CUDA devices; at most %d can be used "
                         "(CUDA_VISIBLE_DEVICES chooses)",
                         m.n_devices, TGI_CUDA_MAX_DEVICES);
    size_t n = (size_t)m.n_devices;
    m.device = calloc(n + 1, sizeof *m.device); /* + 1: of none, calloc may return NULL */
    m.link = calloc(n * n + 1, sizeof *m.link);
    m.link_rank = calloc(n * n + 1, sizeof *m.link_rank);
    if (!m.device || !m.link || !m.link_rank)
        rc = tgi_error_memory(err, "describing the CUDA devices");
    for (int i = 0; i < m.n_devices && rc == 0; i++)
        rc = describe(api, i, &m.device[i], err);
    for (int i = 0; i < m.n_devices * m.n_devices && rc == 0; i++)
        rc = describe_link(api, &m, i / m.n_devices, i % m.n_devices, err);
    if (rc)
        tgi_cuda_machine_fini(&m);
    else
        *machine = m;
    return rc;
}

void tgi_cuda_machine_fini(struct tgi_cuda_machine *machine)
{
    free(machine->device);
    free(machine->link);
    free(machine->link_rank);
    *machine = (struct tgi_cuda_machine){0};
}
