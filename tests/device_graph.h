/* Graphs for the tests of devices: written as JSON, executed on the stand-in driver, and compared word by word with
 * sequential execution on the CPU.
 *
 * Kernels are the built-in hash ones, so that a task that ran too early or with stale data changes the
 * outcome.  The stand-ins for the driver, NVRTC and NCCL are loaded from beside the test program. */
#ifndef TEST_DEVICE_GRAPH_H
#define TEST_DEVICE_GRAPH_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/model.h"
#include "graph/tgraph.h"
#include "tests/standin/nccl.h"
#include "tests/standin/nvrtc.h"
#include "tests/standin/standin.h"

static struct standin standin;
static struct {
#define DEVICE_POINTER_X(type, name, params) type(*name) params;
    NCCL_FUNCTIONS(DEVICE_POINTER_X)
} nccl;
static struct {
    NVRTC_FUNCTIONS(DEVICE_POINTER_X)
#undef DEVICE_POINTER_X
} rtc;
static char device_folder[] = "/tmp/tgraph-test-device-XXXXXX";
static char device_nccl_path[4096]; /* what TGRAPH_NCCL is after device_load() */

/* ---- The stand-ins ------------------------------------------------------------------------*/

static inline bool device_find(void *handle, const char *name, void *slot)
{
    void *address = dlsym(handle, name);
    memcpy(slot, &address, sizeof address);
    return address != NULL;
}

/* Sets the environment up so that tgraph finds the stand-ins, and a folder for files and the kernel cache. */
static inline bool device_load(void)
{
    char path[4000], other[4096];
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path) || !mkdtemp(device_folder))
        return false;
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
    setenv("TGRAPH_CACHE_DIR", device_folder, 1);
    setenv("TGRAPH_BLAS", "off", 1);
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1); /* compiling one for each set of bodies takes seconds; test_resident_user.c */
    setenv("TGRAPH_HISTORY", "off", 1); /* no test depends on what another one has measured */
    char *end = strrchr(path, '/');
    *end = '\0';
    snprintf(other, sizeof other, "%s/standin-kernels.txt", path);
    setenv("TGRAPH_CUDA_KERNELS", other, 1);
    snprintf(other, sizeof other, "%s/libstandin-nccl.so", path);
    setenv("TGRAPH_NCCL", other, 1);
    strcpy(device_nccl_path, other);
    void *handle = dlopen(other, RTLD_NOW | RTLD_LOCAL);
    bool ok = handle != NULL;
#define DEVICE_FIND_X(type, name, params) ok = ok && device_find(handle, #name, &nccl.name);
    NCCL_FUNCTIONS(DEVICE_FIND_X)
#undef DEVICE_FIND_X
    snprintf(other, sizeof other, "%s/libstandin-nvrtc.so", path);
    setenv("TGRAPH_NVRTC", other, 1);
    handle = dlopen(other, RTLD_NOW | RTLD_LOCAL);
    ok = ok && handle;
#define DEVICE_FIND_X(type, name, params) ok = ok && device_find(handle, #name, &rtc.name);
    NVRTC_FUNCTIONS(DEVICE_FIND_X)
#undef DEVICE_FIND_X
    return ok;
}

static inline void device_unload(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", device_folder);
    if (system(command))
        fprintf(stderr, "%s is left over\n", device_folder);
}

/* For cmocka_run_group_tests(). */
static inline int device_group_load(void **state)
{
    (void)state;
    return device_load() ? 0 : -1;
}

/* Collectives are the host's work. */
static inline int device_group_load_without_nccl(void **state)
{
    int rc = device_group_load(state);
    setenv("TGRAPH_NCCL", "off", 1);
    return rc;
}

static inline int device_group_unload(void **state)
{
    (void)state;
    device_unload();
    return 0;
}

/* Everything that was is forgotten. */
static inline void device_reset(int n_devices, uint64_t seed, bool has_peers)
{
    const struct standin_options o = {n_devices, 1 << 20, seed, has_peers};
    nccl.standin_nccl_reset();
    standin.standin_reset(&o);
}

/* devices: as run -D takes them; bytes: memory of each, 0 for all there is. */
static inline int device_try_runtime(const char *devices, uint64_t bytes, struct tg_runtime **rt_p, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    ro.n_workers = 2;
    ro.is_unbound = true;
    ro.devices = devices;
    ro.device_bytes = bytes;
    return tg_runtime_create(&ro, rt_p, err);
}

static inline struct tg_runtime *device_runtime(const char *devices, uint64_t bytes)
{
    struct tg_runtime *rt;
    struct tg_error err;
    if (device_try_runtime(devices, bytes, &rt, &err)) {
        fprintf(stderr, "a runtime on \"%s\": %s\n", devices, err.text);
        abort();
    }
    return rt;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

/* The kernels that all graphs may name. */
#define DEVICE_KERNELS                                                                                            \
    "'hash': {'builtin': 'hash'}, 'mix': {'builtin': 'hash_inout'}, 'add': {'builtin': 'hash_add'}, "             \
    "'commute': {'builtin': 'hash_commute'}, 'is_above': {'builtin': 'is_above'}, 'scale': {'builtin': 'scale'}"

/* buffers and tasks: the inside of the JSON objects, ' for "; kernels: more of them, beginning with a comma.  Frozen. */
static inline struct tg_graph *device_graph(const char *buffers, const char *kernels, const char *tasks)
{
    static unsigned n_files;
    char path[256];
    struct tg_graph *graph;
    struct tg_error err;
    snprintf(path, sizeof path, "%s/graph-%u.json", device_folder, n_files++);
    FILE *f = fopen(path, "w");
    char *text;
    if (!f || asprintf(&text, "{'tgraph': '1.0', 'buffers': {%s}, 'kernels': {" DEVICE_KERNELS "%s}, 'tasks': [%s]}", buffers,
                       kernels, tasks) < 0)
        abort();
    for (char *c = text; *c; c++)
        fputc(*c == '\'' ? '"' : *c == '`' ? '\'' : *c, f);
    free(text);
    fclose(f);
    if (tg_graph_load(path, NULL, &graph, &err) || tg_graph_freeze(graph, &err)) {
        fprintf(stderr, "%s:%u:%u: %s\n", err.file, err.line, err.column, err.text);
        abort();
    }
    return graph;
}

static inline size_t device_words(const struct tg_graph *g)
{
    size_t n = 0;
    for (uint32_t b = 0; b < g->space->n_buffers; b++)
        n += (g->space->buffers[b].tile_bytes + 7) / 8 * g->space->buffers[b].n_tiles;
    return n;
}

/* Contents of all tiles; false if one could not be had. */
static inline bool device_read(struct tg_run *run, const struct tg_graph *g, uint64_t *words)
{
    bool ok = true;
    for (uint32_t b = 0; b < g->space->n_buffers; b++)
        for (uint32_t t = 0; t < g->space->buffers[b].n_tiles; t++) {
            size_t bytes = g->space->buffers[b].tile_bytes;
            const void *tile = tg_run_tile(run, b, t);
            ok = ok && tile;
            words[(bytes - 1) / 8] = 0;
            if (tile)
                memcpy(words, tile, bytes);
            words += (bytes + 7) / 8;
        }
    return ok;
}

/* Where tasks of a graph and its bodies are to run: forgotten, or as it was. */
static inline void device_exchange_places(struct tg_graph *g, tgi_place *on, bool is_forgotten)
{
    for (uint32_t i = 0; i < g->n_attrs; i++) {
        if (is_forgotten)
            on[i] = g->attrs[i].on;
        g->attrs[i].on = is_forgotten ? 0 : on[i];
    }
}

static inline void device_exchange_all_places(struct tg_graph *g, tgi_place *on, bool is_forgotten)
{
    device_exchange_places(g, on, is_forgotten);
    on += g->n_attrs;
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        struct tg_graph *const bodies[] = {g->space->ops[i].body, g->space->ops[i].body_else};
        for (int k = 0; k < 2; k++)
            if (bodies[k]) {
                device_exchange_places(bodies[k], on, is_forgotten);
                on += bodies[k]->n_attrs;
            }
    }
}

static inline size_t device_n_attrs(const struct tg_graph *g)
{
    size_t n = g->n_attrs;
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        const struct tgi_op *op = &g->space->ops[i];
        n += (op->body ? op->body->n_attrs : 0) + (op->body_else ? op->body_else->n_attrs : 0);
    }
    return n;
}

/* What sequential execution on the CPU gives, wherever tasks are to run otherwise; the caller frees it. */
static inline uint64_t *device_expected(struct tg_graph *g, bool keep_data, int n_starts)
{
    tgi_place *on = calloc(device_n_attrs(g) + 1, sizeof *on);
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    uint64_t *words = calloc(device_words(g) + 1, sizeof *words);
    if (on)
        device_exchange_all_places(g, on, true);
    ro.n_workers = 1;
    options.is_deterministic = true;
    options.keep_data = keep_data;
    int rc = words && on ? tg_runtime_create(&ro, &rt, &err) : TG_E_NO_MEMORY;
    if (rc == 0)
        rc = tg_run_create(rt, g, &options, &run, &err);
    for (int i = 0; rc == 0 && i < n_starts; i++)
        rc = tg_run_execute(run, &err);
    if (rc || !device_read(run, g, words)) {
        fprintf(stderr, "sequential execution: %s\n", rc ? err.text : "no data");
        abort();
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    device_exchange_all_places(g, on, false);
    free(on);
    return words;
}

#endif
