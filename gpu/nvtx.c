/* See nvtx.h.  Numbers and structures are those of NVTX 3 (nvtx3/nvtxDetail/nvtxTypes.h). */
#include "gpu/nvtx.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "graph/environment.h"

typedef void (*function)(void);

enum { MODULE_CORE = 1, N_MODULES = 7, MOST_CALLBACKS = 16, RANGE_PUSH_A = 9, RANGE_POP = 11 };
enum { TABLE_CALLBACKS = 1, TABLE_VERSION = 3, VERSION = 3 };

/* A profiler asks for all of a module's slots and fills those it has something for; slot 0 is no function. */
static const unsigned n_callbacks[N_MODULES] = {0, 16, 9, 15, 7, 16, 7}; /* by module: none, core, cuda, opencl, cudart, core2, sync */
static function functions[N_MODULES][MOST_CALLBACKS];
static function *slots[N_MODULES][MOST_CALLBACKS];

static int function_table(int module, function ***table_p, unsigned *n_p)
{
    if (module < MODULE_CORE || module >= N_MODULES)
        return 0;
    *table_p = slots[module];
    if (n_p)
        *n_p = n_callbacks[module];
    return 1;
}

static void set_version(uint32_t version) { (void)version; }

static const void *export_table(uint32_t id)
{
    static const struct {
        size_t size;
        int (*function_table)(int module, function ***table_p, unsigned *n_p);
    } callbacks = {sizeof callbacks, function_table};
    static const struct {
        size_t size;
        uint32_t version, reserved;
        void (*set_version)(uint32_t version);
    } version = {sizeof version, VERSION, 0, set_version};
    return id == TABLE_CALLBACKS ? (const void *)&callbacks : id == TABLE_VERSION ? (const void *)&version : NULL;
}

static struct tgi_nvtx listener;
static const struct tgi_nvtx *found;

/* ISO C has no conversion between pointers to objects and to functions; POSIX has, by their bytes. */
static void copy_pointer(void *to, const void *from) { memcpy(to, from, sizeof(void *)); }

static void ask_injection(const char *path)
{
    int (*initialise)(const void *(*export_table)(uint32_t id));
    void *handle = dlopen(path, RTLD_LAZY), *address = handle ? dlsym(handle, "InitializeInjectionNvtx2") : NULL;
    for (int m = MODULE_CORE; m < N_MODULES; m++)
        for (unsigned i = 1; i < n_callbacks[m]; i++)
            slots[m][i] = &functions[m][i];
    copy_pointer(&initialise, &address);
    if (!address || !initialise(export_table)) {
        if (handle)
            dlclose(handle);
        return;
    }
    copy_pointer(&listener.push, &functions[MODULE_CORE][RANGE_PUSH_A]);
    copy_pointer(&listener.pop, &functions[MODULE_CORE][RANGE_POP]);
}

static void ask_library(void)
{
    void *handle = dlopen("libnvToolsExt.so.1", RTLD_NOW | RTLD_LOCAL);
    void *push = handle ? dlsym(handle, "nvtxRangePushA") : NULL, *pop = handle ? dlsym(handle, "nvtxRangePop") : NULL;
    copy_pointer(&listener.push, &push);
    copy_pointer(&listener.pop, &pop);
}

/* Where no profiler names a library. */
static int wants_library(struct tg_error *err)
{
    static const char *const words[] = {"0", "1", NULL};
    return tgi_environment_word("TGRAPH_NVTX", words, 0, err);
}

static void look(void)
{
    const char *injection = getenv("NVTX_INJECTION64_PATH");
    if (injection && *injection)
        ask_injection(injection);
    else if (wants_library(NULL) == 1)
        ask_library();
    found = listener.push && listener.pop ? &listener : NULL;
}

int tgi_nvtx_find(const struct tgi_nvtx **listener_p, struct tg_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int wish = wants_library(err);
    if (wish < 0)
        return wish;
    pthread_once(&once, look);
    *listener_p = found;
    return 0;
}

const struct tgi_nvtx *tgi_nvtx_listener(void) { return found; }
